"""Maps of volumes: trees of chunk ids, written bottom up, read in order (docs/format.md, section 6)."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from safehold.engine.index.lookup import Index
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.reading import ChunkReader, read_all
from safehold.errors import IntegrityError

_TOGETHER = 1024
"""Nodes of a level that are fetched together: a MiB, from one subtree or, where little is in them, from many."""


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


class InheritedIds(Protocol):
    """Ids of an earlier map of the same shape: of chunks (level 0), or of the nodes above them."""

    def ids(self, level: int, first: int, count: int) -> bytes:
        """`count` ids of a level from number `first` on, joined."""
        ...


class MapBuilder:
    """Takes the ids of a volume's chunks in order and keeps the nodes through `store_node`, which names them."""

    def __init__(self, slots: int, fanout: int, store_node: Callable[[bytes], bytes]) -> None:
        self._slots = slots
        self._fanout = fanout
        self._store_node = store_node
        self._levels = [bytearray() for _ in range(levels_of(slots, fanout))]
        self._top = len(self._levels) - 1
        self.taken = 0
        """Chunks that have come."""

    def append(self, ids: bytes) -> None:
        """The next ids, joined."""
        self.taken += len(ids) // ID_BYTES
        self._add(0, ids)

    def append_zeros(self, count: int) -> None:
        """The next `count` chunks are zeros; whole subtrees of them cost one step."""
        self.taken += count
        self._add_zeros(0, count)

    def keep(self, count: int, inherited: InheritedIds) -> None:
        """The next `count` chunks are those of an earlier map of the same shape; whole subtrees cost one step."""
        self._keep(0, self.taken, count, inherited)
        self.taken += count

    def finish(self) -> VolumeMap:
        """The map, when all ids have come."""
        if self.taken != self._slots:
            raise ValueError(f"the map has {self.taken} of {self._slots} chunks")
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

    def _keep(self, level: int, first: int, count: int, inherited: InheritedIds) -> None:
        if level < self._top:
            fill = min(count, -first % self._fanout)
            self._add(level, inherited.ids(level, first, fill))
            first, count = first + fill, count - fill
            is_end = first + count == -(-self._slots // self._fanout**level)
            nodes = -(-count // self._fanout) if is_end else count // self._fanout
            if nodes:
                self._keep(level + 1, first // self._fanout, nodes, inherited)
                first, count = first + nodes * self._fanout, max(0, count - nodes * self._fanout)
        self._add(level, inherited.ids(level, first, count))

    def _name(self, node: bytes) -> bytes:
        return ZERO_ID if node.count(0) == len(node) else self._store_node(node)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The ids of `fanout` chunks that begin at chunk `first`; never zeros only."""

    first: int
    ids: bytes


class MapReader:
    """Reads a map's leaves in the order of the volume; many nodes of a level are fetched together."""

    def __init__(self, volume_map: VolumeMap, fanout: int, reader: ChunkReader, index: Index) -> None:
        self.map = volume_map
        self.fanout = fanout
        self._reader = reader
        self._index = index
        self._recent: dict[int, deque[frozenset[bytes]]] = {}

    def leaves(self) -> Iterator[Leaf]:
        """All leaves but those of zeros."""
        if self.map.levels != levels_of(self.map.slots, self.fanout):
            raise IntegrityError("A map has another height than its volume needs", found=self.map.levels)
        if self.map.root == ZERO_ID:
            return
        nodes = self._contents([(0, self.map.root)], self.map.levels)
        for level in range(self.map.levels - 1, 0, -1):
            nodes = self._children(nodes, level)
        for first, ids in nodes:
            yield Leaf(first, ids)

    def has_node(self, node_id: bytes) -> bool:
        """True if the node was read lately, so is surely in the repository. False says nothing."""
        return any(node_id in batch for batches in self._recent.values() for batch in batches)

    def _children(self, parents: Iterator[tuple[int, bytes]], level: int) -> Iterator[tuple[int, bytes]]:
        """The first chunk and the content of each node below, in order, without those of zeros."""
        span = self.fanout**level
        below = (
            (first + number * span, parent[number * ID_BYTES : (number + 1) * ID_BYTES])
            for first, parent in parents
            for number in range(len(parent) // ID_BYTES)
        )
        wanted = (node for node in below if node[1] != ZERO_ID)
        while batch := list(islice(wanted, _TOGETHER)):
            yield from self._contents(batch, level)

    def _contents(self, batch: list[tuple[int, bytes]], level: int) -> Iterator[tuple[int, bytes]]:
        contents = self.fetch([node_id for _, node_id in batch])
        # A writer beside this reader is less than a batch behind, so it meets what it compares in these two.
        self._recent.setdefault(level, deque(maxlen=2)).append(frozenset(contents))
        return ((first, contents[node_id]) for first, node_id in batch)

    def fetch(self, node_ids: list[bytes]) -> dict[bytes, bytes]:
        """The contents of nodes, by id; IntegrityError if one is missing or cannot be one."""
        contents = read_all(self._reader, self._index, node_ids)
        for content in contents.values():
            if len(content) % ID_BYTES or not 0 < len(content) <= self.fanout * ID_BYTES:
                raise IntegrityError("A map node has an impossible length", found=len(content))
        return contents


class LeafSource(Protocol):
    """What leads to leaves of a map."""

    def leaves(self) -> Iterator[Leaf]:
        """In the order of the volume, without those of zeros."""
        ...


class MapCursor:
    """Walks a map forward, slice by slice, beside a scan of the volume. Without a reader every slice is zeros."""

    def __init__(self, reader: LeafSource | None) -> None:
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
