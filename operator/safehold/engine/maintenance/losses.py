"""What damage means: the points, volumes and byte ranges that lost chunks or map nodes hit."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby

from safehold.engine.maintenance.manifests import read_manifests
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.engine.reading import ChunkReader, read_all
from safehold.engine.repository import Domain


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of a volume of a point that cannot be restored."""

    point: str
    namespace: str
    vm: str
    volume: str
    offset: int
    length: int


def losses(domain: Domain, lost: Collection[bytes]) -> Iterator[Loss]:
    """Where the lost ids are needed. Neighbouring ranges come as one; maps that need none of them are read once."""
    for _, points in groupby(read_manifests(domain.points), key=lambda opened: opened[0].owner):
        # The points of an owner share most nodes; a node that was sound in one is not read again for the next.
        sound: set[bytes] = set()
        for name, manifest in points:
            if isinstance(manifest, Manifest):
                for volume in manifest.volumes:
                    ranges = _Search(domain, manifest, volume, lost, sound).ranges()
                    yield from _joined(name, manifest, volume, ranges)


def _joined(
    name: PointName, manifest: Manifest, volume: StoredVolume, ranges: Iterator[tuple[int, int]]
) -> Iterator[Loss]:
    start = end = 0
    for offset, length in ranges:
        if offset > end:
            if end > start:
                yield _loss(name, manifest, volume, start, end)
            start = offset
        end = offset + length
    if end > start:
        yield _loss(name, manifest, volume, start, end)


def _loss(name: PointName, manifest: Manifest, volume: StoredVolume, start: int, end: int) -> Loss:
    return Loss(name.id, manifest.owner.namespace, manifest.owner.vm, volume.name, start, end - start)


class _Search:
    """One map, looked through for lost ids from its root down."""

    def __init__(
        self, domain: Domain, manifest: Manifest, volume: StoredVolume, lost: Collection[bytes], sound: set[bytes]
    ) -> None:
        keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
        self._reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.NODES)
        self._index = domain.index
        self._volume = volume
        self._lost = lost
        self._sound = sound

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Offset and length of what is lost, in order."""
        root = bytes.fromhex(self._volume.root)
        yield from self._below([root], self._volume.levels, 0)

    def _below(self, node_ids: list[bytes], level: int, first: int) -> Iterator[tuple[int, int]]:
        """What is lost below neighbouring nodes of a level; level 0 are the chunks."""
        span = self._volume.map_fanout**level
        wanted = [each for each in node_ids if each != ZERO_ID and each not in self._sound and each not in self._lost]
        contents = read_all(self._reader, self._index, wanted) if level and wanted else {}
        for number, node_id in enumerate(node_ids):
            at = first + number * span
            if node_id in self._lost:
                yield self._bytes(at, span)
            elif node_id in contents:
                content = contents[node_id]
                children = [content[i : i + ID_BYTES] for i in range(0, len(content), ID_BYTES)]
                found = False
                for lost in self._below(children, level - 1, at):
                    found = True
                    yield lost
                if not found:
                    self._sound.add(node_id)

    def _bytes(self, first: int, count: int) -> tuple[int, int]:
        start = first * self._volume.chunk_bytes
        return start, min(count * self._volume.chunk_bytes, self._volume.size_bytes - start)
