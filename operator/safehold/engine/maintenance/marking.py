"""Marking: which chunks and map nodes the restore points need. Each node is read once, however many maps share it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from safehold.engine.maintenance.manifests import Unreadable, read_manifests
from safehold.engine.maintenance.partitions import Partitions
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import Manifest
from safehold.engine.reading import ChunkReader, PackRange, plan_ranges
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError

_WINDOW_NODES = 8192
"""Looked up and fetched together: at most 16 MiB, and neighbours in a pack come with one request."""
_READERS = 8

OnLoss = Callable[[bytes, IntegrityError], None]
"""Called with the id of a chunk or node that cannot be had, and why."""
OnUnreadable = Callable[[PointName, Unreadable], None]
"""Called with a point whose manifest cannot be read."""


class Marks:
    """What was marked: the ids of live chunks and nodes, on disk, and the points that were seen."""

    def __init__(self) -> None:
        self.live = Partitions(ID_BYTES)
        self.points = 0
        self.logical_bytes = 0
        """Of all volumes of all points."""
        self.newest: dict[str, str] = {}
        """The newest point of each owner."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.live.__exit__(kind, error, at)


def mark(
    domain: Domain,
    *,
    advance: Advance = silent,
    on_loss: OnLoss | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> Marks:
    """Mark what all points of the domain need. Without the callbacks the first damage is raised.

    Whoever deletes must not give them: what cannot be read may need everything.
    """
    marks = Marks()
    try:
        with ExitStack() as stack:
            _Walk(domain, marks, stack, advance, on_loss, on_unreadable).run()
    except BaseException:
        marks.live.__exit__(None, None, None)
        raise
    return marks


class _Walk:
    """All maps at once, level by level from the highest, so that a node that many maps share is read once."""

    def __init__(
        self,
        domain: Domain,
        marks: Marks,
        stack: ExitStack,
        advance: Advance,
        on_loss: OnLoss | None,
        on_unreadable: OnUnreadable | None,
    ) -> None:
        self._domain = domain
        self._marks = marks
        self._stack = stack
        self._advance = advance
        self._on_loss = on_loss
        self._on_unreadable = on_unreadable
        self._frontier: dict[tuple[int, bytes], Partitions] = {}
        self._readers: dict[bytes, ChunkReader] = {}
        self._nodes = 0

    def run(self) -> None:
        for name, found in read_manifests(self._domain.points):
            if isinstance(found, Manifest):
                self._begin(name, found)
            elif self._on_unreadable:
                self._on_unreadable(name, found)
            else:
                raise found
            self._advance("Reading points", self._marks.points, None)
        while self._frontier:
            level, id_key = max(self._frontier, key=lambda key: key[0])
            with self._frontier.pop((level, id_key)) as nodes:
                self._descend(level, id_key, nodes)

    def _begin(self, name: PointName, manifest: Manifest) -> None:
        self._marks.points += 1
        self._marks.newest.setdefault(name.owner, name.id)
        key_set = self._domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
        if key_set.id_key not in self._readers:
            self._readers[key_set.id_key] = ChunkReader(self._domain.store, self._domain.keys, key_set, FrameKind.NODES)
        for volume in manifest.volumes:
            self._marks.logical_bytes += volume.size_bytes
            root = bytes.fromhex(volume.root)
            if root != ZERO_ID:
                self._nodes_of(volume.levels, key_set.id_key).add(root)

    def _nodes_of(self, level: int, id_key: bytes) -> Partitions:
        key = level, id_key
        if key not in self._frontier:
            self._frontier[key] = self._stack.enter_context(Partitions(ID_BYTES))
        return self._frontier[key]

    def _descend(self, level: int, id_key: bytes, nodes: Partitions) -> None:
        below = self._marks.live if level == 1 else self._nodes_of(level - 1, id_key)
        for partition in nodes:
            for node_id in partition:
                self._marks.live.add(node_id)
            for content in self._read(self._readers[id_key], partition):
                self._nodes += 1
                for at in range(0, len(content), ID_BYTES):
                    child = content[at : at + ID_BYTES]
                    if child != ZERO_ID:
                        below.add(child)
            self._advance("Reading maps", self._nodes, None)

    def _read(self, reader: ChunkReader, node_ids: list[bytes]) -> Iterator[bytes]:
        with ThreadPoolExecutor(_READERS, thread_name_prefix="marking") as readers:
            for at in range(0, len(node_ids), _WINDOW_NODES):
                window = node_ids[at : at + _WINDOW_NODES]
                places = self._domain.index.locate(window)
                for node_id in window:
                    if node_id not in places:
                        self._lose(node_id, IntegrityError("The index does not know a map node", found=node_id.hex()))
                for contents in readers.map(lambda part: self._read_range(reader, part), plan_ranges(places)):
                    yield from contents

    def _read_range(self, reader: ChunkReader, wanted: PackRange) -> Sequence[bytes]:
        try:
            return [bytes(content) for _, content in reader.read(wanted)]
        except IntegrityError as problem:
            if len(wanted.chunks) == 1:
                self._lose(wanted.chunks[0][0], problem)
                return []
        # One of several is damaged: read each alone to know which.
        alone = [plan_ranges(dict([chunk]))[0] for chunk in wanted.chunks]
        return [content for part in alone for content in self._read_range(reader, part)]

    def _lose(self, node_id: bytes, problem: IntegrityError) -> None:
        if self._on_loss is None:
            raise problem
        self._on_loss(node_id, problem)
