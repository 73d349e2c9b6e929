"""Maps of volumes: trees of chunk ids, written bottom up, read in order (docs/format.md, section 6)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from safehold.engine.chunks import ID_BYTES, ZERO_ID
from safehold.engine.index.lookup import Index
from safehold.engine.reading import ChunkReader, read_all
from safehold.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class VolumeMap:
    """A finished map: where its tree begins, and what it covers."""

    root: bytes
    levels: int
    slots: int
    """Chunks of the volume, those of zeros included."""


def slots_of(size_bytes: int, chunk_bytes: int) -> int:
    """Chunks of a volume of this size."""
    return -(-size_bytes // chunk_bytes)


def levels_of(slots: int, fanout: int) -> int:
    """Levels of the tree over so many chunks."""
    levels = 1
    while fanout**levels < slots:
        levels += 1
    return levels


class MapBuilder:
    """Takes the ids of a volume's chunks in order and keeps the nodes through `store_node`, which names them."""

    def __init__(self, slots: int, fanout: int, store_node: Callable[[bytes], bytes]) -> None:
        self._slots = slots
        self._fanout = fanout
        self._store_node = store_node
        self._levels = [bytearray() for _ in range(levels_of(slots, fanout))]
        self._top = len(self._levels) - 1
        self._taken = 0

    def append(self, ids: bytes) -> None:
        """The next ids, joined."""
        self._taken += len(ids) // ID_BYTES
        self._add(0, ids)

    def append_zeros(self, count: int) -> None:
        """The next `count` chunks are zeros; whole subtrees of them cost one step."""
        self._taken += count
        self._add_zeros(0, count)

    def finish(self) -> VolumeMap:
        """The map, when all ids have come."""
        if self._taken != self._slots:
            raise ValueError(f"the map has {self._taken} of {self._slots} chunks")
        for level in range(self._top):
            if self._levels[level]:
                self._add(level + 1, self._name(bytes(self._levels[level])))
        return VolumeMap(self._name(bytes(self._levels[self._top])), len(self._levels), self._slots)

    def _add(self, level: int, ids: bytes) -> None:
        pending = self._levels[level]
        pending += ids
        node_bytes = self._fanout * ID_BYTES
        while level < self._top and len(pending) >= node_bytes:
            node = bytes(pending[:node_bytes])
            del pending[:node_bytes]
            self._add(level + 1, self._name(node))

    def _add_zeros(self, level: int, count: int) -> None:
        if level < self._top:
            fill = min(count, -(len(self._levels[level]) // ID_BYTES) % self._fanout)
            self._add(level, ZERO_ID * fill)
            count -= fill
            if count >= self._fanout:
                self._add_zeros(level + 1, count // self._fanout)
                count %= self._fanout
        self._add(level, ZERO_ID * count)

    def _name(self, node: bytes) -> bytes:
        return ZERO_ID if node.count(0) == len(node) else self._store_node(node)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The ids of `fanout` chunks that begin at chunk `first`; never zeros only."""

    first: int
    ids: bytes


class MapReader:
    """Reads a map's leaves in the order of the volume; a node's children are fetched together."""

    def __init__(self, volume_map: VolumeMap, fanout: int, reader: ChunkReader, index: Index) -> None:
        self._map = volume_map
        self._fanout = fanout
        self._reader = reader
        self._index = index
        self._recent: OrderedDict[bytes, None] = OrderedDict()

    def leaves(self) -> Iterator[Leaf]:
        """All leaves but those of zeros."""
        if self._map.levels != levels_of(self._map.slots, self._fanout):
            raise IntegrityError("A map has another height than its volume needs", found=self._map.levels)
        if self._map.root != ZERO_ID:
            root = self._fetch([self._map.root])[self._map.root]
            yield from self._below(root, self._map.levels, 0)

    def has_node(self, node_id: bytes) -> bool:
        """True if the node was read lately, so is surely in the repository. False says nothing."""
        return node_id in self._recent

    def _below(self, node: bytes, level: int, first: int) -> Iterator[Leaf]:
        if level == 1:
            yield Leaf(first, node)
            return
        children = [node[at : at + ID_BYTES] for at in range(0, len(node), ID_BYTES)]
        contents = self._fetch([child for child in children if child != ZERO_ID])
        span = self._fanout ** (level - 1)
        for number, child in enumerate(children):
            if child != ZERO_ID:
                yield from self._below(contents[child], level - 1, first + number * span)

    def _fetch(self, node_ids: list[bytes]) -> dict[bytes, bytes]:
        contents = read_all(self._reader, self._index, node_ids)
        for node_id, content in contents.items():
            if len(content) % ID_BYTES or not 0 < len(content) <= self._fanout * ID_BYTES:
                raise IntegrityError("A map node has an impossible length", found=len(content))
            self._recent[node_id] = None
        # A level's nodes are compared within one parent's turn, so a few groups back are enough.
        while len(self._recent) > 4 * self._fanout + len(contents):
            self._recent.popitem(last=False)
        return contents


class MapCursor:
    """Walks a map forward, slice by slice, beside a scan of the volume. Without a reader every slice is zeros."""

    def __init__(self, reader: MapReader | None) -> None:
        self._leaves = reader.leaves() if reader else iter(())
        self._leaf = next(self._leaves, None)

    def ids(self, first: int, count: int) -> bytes:
        """The ids of `count` chunks from `first`, padded with zero ids; slices must not go back."""
        joined = bytearray(count * ID_BYTES)
        for at, ids in self._overlaps(first, count):
            joined[at * ID_BYTES : at * ID_BYTES + len(ids)] = ids
        return bytes(joined)

    def data_chunks(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """Those of `count` chunks from `first` that are not zeros, with their ids; costs what the map holds there."""
        chunks = (
            (first + at + number, ids[number * ID_BYTES : (number + 1) * ID_BYTES])
            for at, ids in self._overlaps(first, count)
            for number in range(len(ids) // ID_BYTES)
        )
        return [(slot, chunk_id) for slot, chunk_id in chunks if chunk_id != ZERO_ID]

    def _overlaps(self, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        end = first + count
        while self._leaf is not None and self._leaf.first < end:
            leaf_end = self._leaf.first + len(self._leaf.ids) // ID_BYTES
            low, high = max(first, self._leaf.first), min(end, leaf_end)
            if low < high:
                start = (low - self._leaf.first) * ID_BYTES
                yield low - first, self._leaf.ids[start : start + (high - low) * ID_BYTES]
            if leaf_end > end:
                return
            self._leaf = next(self._leaves, None)
