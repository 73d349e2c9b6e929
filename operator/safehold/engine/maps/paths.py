"""The parent's map beside a run that knows what changed: only the paths to touched chunks are read."""

from collections.abc import Iterator
from itertools import islice

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.maps.tree import Leaf, MapReader
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID

_WINDOW_LEAVES = 1024
"""Touched leaves whose paths are fetched together: a request or two for each level of the tree, and 5 MiB at most."""


class MapPaths:
    """Leaves that touched chunks are in, and the nodes on the way to them. Going forward, each is read once."""

    def __init__(self, reader: MapReader, touched: TouchedChunks) -> None:
        self._reader = reader
        self._map = reader.map
        self._fanout = reader.fanout
        self._touched = touched
        self._near: dict[bytes, bytes] = {}
        self._behind: dict[bytes, bytes] = {}
        self._latest: dict[int, tuple[int, bytes]] = {}
        """Each level's node that was looked at last: neighbours are asked for one after the other."""

    def leaves(self) -> Iterator[Leaf]:
        """The touched leaves in order, but those of zeros."""
        numbers = self._touched_leaves()
        while window := list(islice(numbers, _WINDOW_LEAVES)):
            self._fetch_paths(window)
            for number in window:
                ids = self._node(1, number)
                if ids:
                    yield Leaf(number * self._fanout, ids)

    def ids(self, level: int, first: int, count: int) -> bytes:
        """`count` ids of a level from number `first` on; only what is not on a touched path costs a request."""
        joined = bytearray()
        end = first + count
        while first < end:
            number, at = divmod(first, self._fanout)
            taken = min(end - first, self._fanout - at)
            part = self._node(level + 1, number)[at * ID_BYTES : (at + taken) * ID_BYTES]
            joined += part.ljust(taken * ID_BYTES, b"\0")
            first += taken
        return bytes(joined)

    def has_node(self, node_id: bytes) -> bool:
        """True if the node was read lately, so is surely in the repository. False says nothing."""
        return node_id in self._near or node_id in self._behind

    def _touched_leaves(self) -> Iterator[int]:
        following = 0
        for first, end in self._touched.runs():
            leaves = range(max(following, first // self._fanout), (end - 1) // self._fanout + 1)
            following = max(following, leaves.stop)
            yield from leaves

    def _fetch_paths(self, leaves: list[int]) -> None:
        """Have every node that leads to these leaves: level by level, each level's together."""
        self._behind, self._near = self._near, {}
        for level in range(self._map.levels, 0, -1):
            span = self._fanout ** (level - 1)
            numbers = dict.fromkeys(leaf // span for leaf in leaves)
            self._fetch({self._id_of(level, number) for number in numbers})

    def _id_of(self, level: int, number: int) -> bytes:
        if level == self._map.levels:
            return self._map.root
        parent, at = divmod(number, self._fanout)
        return self._node(level + 1, parent)[at * ID_BYTES : (at + 1) * ID_BYTES] or ZERO_ID

    def _node(self, level: int, number: int) -> bytes:
        """A node's content; empty if it is one of zeros."""
        known_number, known = self._latest.get(level, (-1, b""))
        if known_number == number:
            return known
        content = self._content(level, number)
        self._latest[level] = number, content
        return content

    def _content(self, level: int, number: int) -> bytes:
        node_id = self._id_of(level, number)
        if node_id == ZERO_ID:
            return b""
        if node_id not in self._near:
            self._fetch({node_id})
        return self._near[node_id]

    def _fetch(self, node_ids: set[bytes]) -> None:
        for node_id in node_ids & self._behind.keys():
            self._near[node_id] = self._behind[node_id]
        missing = node_ids - self._near.keys() - {ZERO_ID}
        if missing:
            self._near |= self._reader.fetch(sorted(missing))
