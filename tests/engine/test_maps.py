"""Maps: trees of chunk ids."""

import hashlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine.geometry import FORMAT_1, GIB, MIB
from safehold.engine.maps.tree import MapBuilder, MapCursor, MapReader, VolumeMap, levels_of
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.errors import IntegrityError

FANOUT = 4


class Nodes:
    """Nodes by number, in place of chunks in packs; plays both the reader and the index that a MapReader asks."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}

    def store(self, node: bytes) -> bytes:
        """Name the node."""
        node_id = next((i for i, content in self.contents.items() if content == node), None)
        node_id = node_id or (len(self.contents) + 1).to_bytes(ID_BYTES)
        self.contents[node_id] = node
        return node_id


def ids_of(numbers: list[int]) -> bytes:
    """Ids of chunks; 0 is a chunk of zeros."""
    return b"".join(number.to_bytes(ID_BYTES) for number in numbers)


def build(numbers: list[int], nodes: Nodes, store: Callable[[bytes], bytes] | None = None) -> VolumeMap:
    """The map of these chunks, zeros given as runs."""
    builder = MapBuilder(len(numbers), FANOUT, store or nodes.store)
    at = 0
    while at < len(numbers):
        end = at
        while end < len(numbers) and (numbers[end] == 0) == (numbers[at] == 0):
            end += 1
        if numbers[at]:
            builder.append(ids_of(numbers[at:end]))
        else:
            builder.append_zeros(end - at)
        at = end
    return builder.finish()


class NodeReader(MapReader):
    """A MapReader whose nodes do not come from packs."""

    def __init__(self, volume_map: VolumeMap, nodes: Nodes) -> None:
        super().__init__(volume_map, FANOUT, reader=None, index=None)  # type: ignore[arg-type] # fetch is replaced
        self._nodes = nodes
        self.fetches = 0

    def fetch(self, node_ids: list[bytes]) -> dict[bytes, bytes]:
        """The nodes of these ids."""
        self.fetches += 1
        return {node_id: self._nodes.contents[node_id] for node_id in node_ids}


chunk_numbers = st.lists(st.one_of(st.just(0), st.integers(1, 9)), min_size=1, max_size=200)


@given(chunk_numbers, st.data())
def test_a_cursor_reads_what_was_built_slice_by_slice(numbers: list[int], data: st.DataObject) -> None:
    """Whatever is skipped on the way, each slice is right, and so are the chunks that are not zeros."""
    nodes = Nodes()
    volume_map = build(numbers, nodes)
    cursor, at = MapCursor(NodeReader(volume_map, nodes)), 0
    while at < len(numbers):
        skip = data.draw(st.integers(0, 10))
        count = data.draw(st.integers(1, 30))
        at += skip
        expected = numbers[at : at + count]
        if data.draw(st.booleans()):
            assert [slot for slot, _ in cursor.data_chunks(at, count)] == [
                at + n for n, number in enumerate(expected) if number != 0
            ]
        else:
            assert cursor.ids(at, count) == ids_of(expected + [0] * (count - len(expected)))
        at += count


@given(chunk_numbers)
def test_how_ids_arrive_does_not_change_the_map(numbers: list[int]) -> None:
    """Runs of zeros and single ids lead to the same root, so that unchanged nodes are recognised."""
    nodes = Nodes()
    one_by_one = MapBuilder(len(numbers), FANOUT, nodes.store)
    for number in numbers:
        one_by_one.append(ids_of([number]))
    assert one_by_one.finish() == build(numbers, nodes)


def test_a_hole_of_any_size_costs_nothing() -> None:
    """16 TiB of zeros are one step per level and not one node."""
    builder = MapBuilder(1 << 26, 64, lambda node: pytest.fail(f"stores {len(node)} bytes"))
    builder.append_zeros(1 << 26)
    assert builder.finish() == VolumeMap(ZERO_ID, levels_of(1 << 26, 64), 1 << 26)


def test_one_changed_chunk_makes_one_new_node_per_level() -> None:
    """An incremental writes the path to the change and nothing else."""
    nodes, numbers = Nodes(), list(range(1, 257))
    build(numbers, nodes)
    before = len(nodes.contents)
    numbers[100] = 999
    assert build(numbers, nodes).levels == 4
    assert len(nodes.contents) - before == 4


@pytest.mark.parametrize("distance", [1, 64], ids=["dense", "sparse"])
def test_a_map_is_read_with_few_requests(distance: int) -> None:
    """Nodes of a level come together, also where each subtree has little."""
    nodes = Nodes()
    numbers = [number // distance + 1 if number % distance == 0 else 0 for number in range(256 * distance)]
    reader = NodeReader(build(numbers, nodes), nodes)
    assert sum(1 for _ in reader.leaves()) == (256 if distance > 1 else 64)
    assert reader.fetches == reader.map.levels


def test_who_writes_beside_a_reader_need_not_ask_for_unchanged_nodes() -> None:
    """Of a map of three batches, every node that comes again is known when it is complete."""
    numbers = list(range(1, 3 * 1024 * FANOUT + 1))
    nodes = Nodes()

    def name(node: bytes) -> bytes:
        node_id = hashlib.blake2b(node, digest_size=ID_BYTES).digest()
        nodes.contents[node_id] = node
        return node_id

    reader = NodeReader(build(numbers, nodes, name), nodes)
    asked: list[bytes] = []

    def keep(node: bytes) -> bytes:
        node_id = name(node)
        if not reader.has_node(node_id):
            asked.append(node_id)
        return node_id

    builder = MapBuilder(len(numbers), FANOUT, keep)
    for leaf in reader.leaves():
        builder.append(leaf.ids)
    assert builder.finish() == reader.map
    assert asked == []


class WrittenNodes:
    """Counts the bytes of nodes, each the first time that it comes."""

    def __init__(self) -> None:
        self._names: set[bytes] = set()
        self.written_bytes = 0

    def store(self, node: bytes) -> bytes:
        """Name the node."""
        name = hashlib.blake2b(node, digest_size=ID_BYTES).digest()
        if name not in self._names:
            self._names.add(name)
            self.written_bytes += len(node)
        return name

    def write(self, ids: bytearray) -> int:
        """Bytes that a map of these chunks adds."""
        before = self.written_bytes
        builder = MapBuilder(len(ids) // ID_BYTES, FORMAT_1.map_fanout, self.store)
        builder.append(bytes(ids))
        builder.finish()
        return self.written_bytes - before


def test_an_incremental_writes_little_of_a_large_map() -> None:
    """1 % changed: in runs of 64 MiB at most 2 % of the map; evenly scattered at most 2 % of the data in bytes."""
    slots, run = 64 * GIB // FORMAT_1.chunk_bytes, 64 * MIB // FORMAT_1.chunk_bytes
    ids, nodes, generator = bytearray(random.Random(1).randbytes(slots * ID_BYTES)), WrittenNodes(), random.Random(2)  # noqa: S311 - test data
    whole = nodes.write(ids)
    for start in generator.sample(range(slots - run), slots // 100 // run):
        ids[start * ID_BYTES : (start + run) * ID_BYTES] = generator.randbytes(run * ID_BYTES)
    assert nodes.write(ids) <= 0.02 * whole
    scattered = generator.sample(range(slots), slots // 100)
    for slot in scattered:
        ids[slot * ID_BYTES : (slot + 1) * ID_BYTES] = generator.randbytes(ID_BYTES)
    assert nodes.write(ids) <= 0.02 * len(scattered) * FORMAT_1.chunk_bytes


@pytest.mark.parametrize(("slots", "levels"), [(1, 1), (4, 1), (5, 2), (16, 2), (17, 3), (64, 3), (65, 4)])
def test_the_height_is_the_smallest_that_holds_the_volume(slots: int, levels: int) -> None:
    """The last slot of a level needs no further level."""
    assert levels_of(slots, FANOUT) == levels


def test_a_map_with_missing_ids_is_not_finished() -> None:
    """A map that does not cover its volume is a defect and never becomes a root."""
    builder = MapBuilder(5, FANOUT, lambda _: ZERO_ID)
    builder.append_zeros(4)
    with pytest.raises(ValueError, match="4 of 5"):
        builder.finish()


def test_a_map_of_another_height_is_refused() -> None:
    """A forged height cannot make a reader take nodes for chunks."""
    nodes = Nodes()
    volume_map = build([1] * 20, nodes)
    with pytest.raises(IntegrityError, match="height"):
        MapCursor(NodeReader(VolumeMap(volume_map.root, 2, 20), nodes))
