"""A backup run: scan the volumes, pack what is new, commit one restore point. The manifest is written last."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal

from pydantic import JsonValue

from safehold.engine import names
from safehold.engine.changed_blocks.port import ChangeSource
from safehold.engine.chunks import ZERO_ID, chunk_id
from safehold.engine.footing import Footing
from safehold.engine.frames import Frame, FrameKind
from safehold.engine.lanes import UploadLanes
from safehold.engine.manifest import BaseIdentity, Capture, Manifest, Owner, Statistics, StoredVolume
from safehold.engine.maps import MapBuilder, MapCursor, MapReader, slots_of
from safehold.engine.names import PointName
from safehold.engine.packs import RunPacks
from safehold.engine.reading import ChunkReader
from safehold.engine.repository import Domain
from safehold.engine.scan import Batch, ScanPlan, scan
from safehold.engine.volumes import ReadableDisk, SourceVolume
from safehold.errors import ExpiredRunError, InterruptedRunError, SafeholdError, UsageError

ReportProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; often, so it must be quick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInput:
    """A disk to back up, who knows what changed of it, and what to remember of it."""

    name: str
    path: Path | None = None
    """The image file or device; None: `remote` serves the bytes."""
    remote: Callable[[], AbstractContextManager[ReadableDisk]] | None = None
    mode: Literal["Block", "Filesystem"] = "Filesystem"
    role: Literal["Disk", "MemoryDump"] = "Disk"
    claim: dict[str, JsonValue] = field(default_factory=dict)
    source: BaseIdentity | None = None
    checkpoint: str | None = None
    """What the content is called as the base of a later run."""
    changes: ChangeSource | None = None
    """None: the disk is scanned."""
    scan_reason: str = "no changed-block information"
    may_scan: bool = True
    """Otherwise the run fails where `changes` cannot be believed."""
    verify: bool = False
    """Read the whole disk too, and keep what was read wherever `changes` kept silent."""

    def open(self) -> AbstractContextManager[ReadableDisk]:
        """The disk; VolumeError if it cannot be opened."""
        if self.remote:
            return self.remote()
        if self.path is None:
            raise UsageError(f"The volume {self.name} has neither a path nor a remote disk")
        return SourceVolume(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """One restore point to make. `run_id` makes it idempotent: a run that has committed is not made again."""

    run_id: str
    owner: Owner
    volumes: list[VolumeInput]
    capture: Capture | None = None
    machine: list[dict[str, JsonValue]] = field(default_factory=list)


def back_up(
    domain: Domain, request: BackupRequest, *, stop: threading.Event, progress: ReportProgress | None = None
) -> Manifest:
    """Make the restore point, or return the one that an earlier attempt of the same run has made.

    Set `stop` to end early: what is packed is sent and named in the index, so the next attempt finds it, and
    InterruptedRunError is raised. A run that fails otherwise aborts its open uploads, where the store can be reached.
    """
    if len({volume.name for volume in request.volumes}) != len(request.volumes) or not request.volumes:
        raise UsageError("A restore point needs one or more volumes of different names")
    committed = domain.points.of_run(request.owner, request.run_id)
    if committed:
        return committed
    with ExitStack() as stack:
        sources = {volume.name: stack.enter_context(volume.open()) for volume in request.volumes}
        run = _Run(domain, request, stack.enter_context(UploadLanes()), stop, progress)
        run.bytes_total = sum(source.size_bytes for source in sources.values())
        try:
            stored = run.store_volumes(request.volumes, sources)
        except InterruptedRunError:
            run.finish_packs()
            domain.index.flush()
            raise
        except SafeholdError:
            run.abort()
            raise
    return run.commit(stored)


class _Run:
    """What the volumes of one run share: parent, packs, counters."""

    def __init__(
        self,
        domain: Domain,
        request: BackupRequest,
        lanes: UploadLanes,
        stop: threading.Event,
        progress: ReportProgress | None,
    ) -> None:
        self._domain = domain
        self._request = request
        self._stop = stop
        self._progress = progress
        self._sent_before = domain.store.bytes_sent()
        self._footing = Footing(domain.store, domain.keys, domain.index)
        domain.index.begin(request.run_id)
        self._parent = domain.points.latest(request.owner)
        if self._parent:
            domain.index.follow(self._parent.segments)
        self._key_set = domain.keys.current
        self._node_key = self._key_set.node_key
        self._packs = RunPacks(domain.store, domain.keys.scope, self._key_set, lanes, domain.geometry)
        self._stored = 0
        self._done = 0
        self.bytes_total = 0

    def store_volumes(self, volumes: list[VolumeInput], sources: dict[str, ReadableDisk]) -> list[StoredVolume]:
        """Keep what is new of all volumes; again, where something that was reused has been condemned meanwhile."""
        while True:
            stored = [self.store_volume(volume, sources[volume.name]) for volume in volumes]
            self.finish_packs()
            if self._footing.still_holds(self._parent):
                return stored
            self._done = 0

    def store_volume(self, volume: VolumeInput, source: ReadableDisk) -> StoredVolume:
        """Scan one volume and keep what is new of it and of its map."""
        started = monotonic()
        before = self._stored
        slots = slots_of(source.size_bytes, self._domain.geometry.chunk_bytes)
        previous = self._previous_map(volume.name)
        builder = MapBuilder(slots, self._domain.geometry.map_fanout, lambda node: self._store_node(node, previous))
        read = changed = 0
        for batch in scan(source, self._scan_plan(previous)):
            self._take(batch, builder)
            read += batch.bytes_read
            changed += batch.bytes_changed
            self._done += batch.slots * self._domain.geometry.chunk_bytes
            if self._progress:
                self._progress(min(self._done, self.bytes_total), self.bytes_total)
        volume_map = builder.finish()
        return StoredVolume(
            name=volume.name,
            size_bytes=source.size_bytes,
            chunk_bytes=self._domain.geometry.chunk_bytes,
            map_fanout=self._domain.geometry.map_fanout,
            levels=volume_map.levels,
            root=volume_map.root.hex(),
            mode=volume.mode,
            role=volume.role,
            claim=volume.claim,
            source=volume.source,
            checkpoint=volume.checkpoint,
            engine_reason=self._engine_reason(volume, previous),
            statistics=Statistics(
                bytes_total=source.size_bytes,
                bytes_read=read,
                bytes_changed=changed,
                bytes_uploaded=self._stored - before,
                bytes_stored=self._stored - before,
                seconds=round(monotonic() - started, 3),
            ),
        )

    def finish_packs(self) -> None:
        """End the packs, wait until they are in the store, and tell them to the index."""
        self._packs.close()
        self._domain.index.add(self._packs.uploaded(wait=True))

    def abort(self) -> None:
        """Let the store drop what was not finished."""
        self._packs.abort()

    def commit(self, volumes: list[StoredVolume]) -> Manifest:
        """Write the last index segment, then the manifest: now the point exists."""
        owner = self._request.owner
        segments = self._domain.index.segments()
        sequence = self._parent.sequence + 1 if self._parent else 1
        place = PointName.new(names.owner_tag(*owner.identity), sequence, self._request.run_id)
        manifest = Manifest(
            point=place.id,
            sequence=sequence,
            parent=self._parent.point if self._parent else None,
            created=self._domain.store.time(),
            run_id=self._request.run_id,
            domain=self._domain.name,
            key_set=self._key_set.id.hex(),
            owner=owner,
            capture=self._request.capture,
            volumes=self._with_overhead(volumes),
            segments=segments,
            heeded=self._footing.heeded,
        )
        self._footing.refuse_expired()
        self._domain.points.commit(manifest, self._request.machine)
        try:
            # A process that was frozen on its way to the store may have committed long after it was allowed to.
            self._footing.refuse_expired()
        except ExpiredRunError:
            self._domain.points.forget(manifest)
            raise
        return manifest

    def _with_overhead(self, volumes: list[StoredVolume]) -> list[StoredVolume]:
        # What was sent beyond the chunks (headers, index segments, retries) belongs to no volume; the first reports it.
        overhead = self._domain.store.bytes_sent() - self._sent_before - self._stored
        first = volumes[0].statistics
        counted = first.model_copy(update={"bytes_uploaded": first.bytes_uploaded + max(overhead, 0)})
        return [volumes[0].model_copy(update={"statistics": counted}), *volumes[1:]]

    def _scan_plan(self, previous: MapReader | None) -> ScanPlan:
        return ScanPlan(
            chunk_bytes=self._domain.geometry.chunk_bytes,
            batch_chunks=self._domain.geometry.frame_chunks,
            id_key=self._key_set.id_key,
            previous=MapCursor(previous),
            claim=self._domain.index.claim,
            stop=self._stop,
        )

    def _previous_map(self, name: str) -> MapReader | None:
        """The parent's map of the volume, where its ids can be compared with ours."""
        if self._parent is None or not self._domain.keys.names_alike(self._parent.key_set):
            return None
        if not self._footing.bears(self._parent):
            return None
        volume = self._parent.volume(name)
        if volume is None or not volume.fits(self._domain.geometry):
            return None
        reader = ChunkReader(self._domain.store, self._domain.keys, self._key_set, FrameKind.NODES)
        return MapReader(volume.map(), volume.map_fanout, reader, self._domain.index)

    def _engine_reason(self, volume: VolumeInput, previous: MapReader | None) -> str:
        if previous is None or self._parent is None:
            if self._parent and not self._footing.bears(self._parent):
                return "the earlier point needs what is being collected; everything was read"
            return "no earlier point to compare with; everything was read"
        return f"{volume.scan_reason}; everything was read and compared with {self._parent.point}"

    def _take(self, batch: Batch, builder: MapBuilder) -> None:
        if batch.frame:
            self._stored += self._packs.add_chunks(batch.frame)
        if batch.ids:
            builder.append(batch.ids)
        else:
            builder.append_zeros(batch.slots)
        self._domain.index.add(self._packs.uploaded())

    def _store_node(self, node: bytes, previous: MapReader | None) -> bytes:
        node_id = chunk_id(node, self._node_key)
        unchanged = previous is not None and previous.has_node(node_id)
        if not unchanged and node_id != ZERO_ID and self._domain.index.claim([node_id]):
            self._stored += self._packs.add_node(Frame.of(FrameKind.NODES, [(node_id, len(node))], node))
        return node_id
