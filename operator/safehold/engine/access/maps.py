"""The map of a volume, looked up anywhere."""

from safehold.engine.access.contents import ContentCache
from safehold.engine.maps.tree import levels_of
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.points.manifest import StoredVolume
from safehold.errors import IntegrityError


class MapLookup:
    """Finds the ids of chunks by their numbers; only the nodes on the way to them are read. Thread-safe."""

    def __init__(self, volume: StoredVolume, nodes: ContentCache) -> None:
        self._map = volume.map()
        self._fanout = volume.map_fanout
        self._nodes = nodes
        if self._map.levels != levels_of(self._map.slots, self._fanout):
            raise IntegrityError("A map has another height than its volume needs", found=self._map.levels)

    def ids(self, first: int, count: int) -> list[bytes]:
        """The ids of `count` chunks from number `first` on, level by level from the root; at least one."""
        ids = {0: self._map.root}
        beside: set[bytes] = set()
        for level in range(self._map.levels, 0, -1):
            contents = self._contents(set(ids.values()), beside)
            span = self._fanout ** (level - 1)
            numbers = range(first // span, (first + count - 1) // span + 1)
            ids = {number: self._entry(contents[ids[number // self._fanout]], number) for number in numbers}
            # A node's neighbours lie next to it in the pack, and whoever reads on will need them.
            beside = {each for content in contents.values() for each in _entries(content)} - {ZERO_ID}
        return [ids[number] for number in range(first, first + count)]

    def _contents(self, node_ids: set[bytes], beside: set[bytes]) -> dict[bytes, bytes]:
        wanted = sorted(node_ids - {ZERO_ID})
        contents = dict(zip(wanted, self._nodes.get(wanted, beside), strict=True))
        for content in contents.values():
            if len(content) % ID_BYTES or not 0 < len(content) <= self._fanout * ID_BYTES:
                raise IntegrityError("A map node has an impossible length", found=len(content))
        return contents | {ZERO_ID: b""}

    def _entry(self, content: bytes, number: int) -> bytes:
        at = number % self._fanout * ID_BYTES
        return content[at : at + ID_BYTES] or ZERO_ID


def _entries(content: bytes) -> list[bytes]:
    return [content[at : at + ID_BYTES] for at in range(0, len(content), ID_BYTES)]
