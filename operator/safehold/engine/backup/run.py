"""A backup run: scan the volumes, pack what is new, commit one restore point. The manifest is written last."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from safehold.engine import names
from safehold.engine.backup.finding import VolumeRun
from safehold.engine.backup.footing import Footing
from safehold.engine.backup.lanes import UploadLanes
from safehold.engine.backup.parent import Parent
from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.scan import Batch, ScanPlan
from safehold.engine.disks.volumes import ReadableDisk
from safehold.engine.maps.paths import MapPaths
from safehold.engine.maps.tree import MapCursor, MapReader
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import ZERO_ID, chunk_id
from safehold.engine.packing.frames import Frame, FrameKind
from safehold.engine.packing.packs import RunPacks
from safehold.engine.points.manifest import Manifest, Statistics, StoredVolume
from safehold.engine.repository import Domain
from safehold.errors import ExpiredRunError, InterruptedRunError, SafeholdError, UsageError

ReportProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; often, so it must be quick."""


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
        self.stop = stop
        self._progress = progress
        self._sent_before = domain.store.bytes_sent()
        self._footing = Footing(domain.store, domain.keys, domain.index)
        domain.index.begin(request.run_id)
        self._key_set = domain.keys.current
        self._parent = Parent(domain, domain.points.latest(request.owner), self._footing, self._key_set)
        if self._parent.manifest:
            domain.index.follow(self._parent.manifest.segments)
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
            if self._footing.still_holds(self._parent.manifest):
                return stored
            self._done = 0

    def store_volume(self, volume: VolumeInput, disk: ReadableDisk) -> StoredVolume:
        """Keep what is new of one volume and of its map."""
        started = monotonic()
        before = self._stored
        done = self._done
        found = VolumeRun(volume, disk, keeper=self, parent=self._parent, geometry=self._domain.geometry).find()
        self._done = done + disk.size_bytes
        return StoredVolume(
            name=volume.name,
            size_bytes=disk.size_bytes,
            chunk_bytes=self._domain.geometry.chunk_bytes,
            map_fanout=self._domain.geometry.map_fanout,
            levels=found.map.levels,
            root=found.map.root.hex(),
            mode=volume.mode,
            role=volume.role,
            claim=volume.claim,
            source=volume.source,
            checkpoint=volume.checkpoint,
            engine=found.engine,
            engine_reason=found.reason,
            verified=found.verified,
            mismatched_bytes=found.findings.bytes_unannounced,
            statistics=Statistics(
                bytes_total=disk.size_bytes,
                bytes_read=found.findings.bytes_read,
                bytes_changed=found.findings.bytes_changed,
                bytes_uploaded=self._stored - before,
                bytes_stored=self._stored - before,
                seconds=round(monotonic() - started, 3),
            ),
        )

    def plan(self, previous: MapCursor, *, only: TouchedChunks | None = None) -> ScanPlan:
        """How to scan beside what was before."""
        return ScanPlan(
            chunk_bytes=self._domain.geometry.chunk_bytes,
            batch_chunks=self._domain.geometry.frame_chunks,
            id_key=self._key_set.id_key,
            previous=previous,
            claim=self._domain.index.claim,
            release=self._domain.index.release,
            stop=self.stop,
            only=only,
        )

    def keep_chunks(self, batch: Batch) -> None:
        """Pack what is new of a batch."""
        if batch.frame:
            self._stored += self._packs.add_chunks(batch.frame)
        self._domain.index.add(self._packs.uploaded())

    def keep_node(self, node: bytes, previous: MapReader | MapPaths | None) -> bytes:
        """Name a node of the map, and pack it if it is new."""
        index = self._domain.index
        node_id = chunk_id(node, self._node_key)
        if node_id == ZERO_ID or (previous is not None and previous.has_node(node_id)):
            return node_id
        # On a path to a changed chunk hardly a node is one that somebody has: asking the index takes longer than it.
        claim = index.claim_new if isinstance(previous, MapPaths) else index.claim
        if claim([node_id]):
            self._stored += self._packs.add_node(Frame.of(FrameKind.NODES, [(node_id, len(node))], node))
        return node_id

    def passed(self, slots: int) -> None:
        """So many chunks more are done."""
        self._done += slots * self._domain.geometry.chunk_bytes
        if self._progress:
            self._progress(min(self._done, self.bytes_total), self.bytes_total)

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
        parent = self._parent.manifest
        sequence = parent.sequence + 1 if parent else 1
        place = PointName.new(names.owner_tag(*owner.identity), sequence, self._request.run_id)
        manifest = Manifest(
            point=place.id,
            sequence=sequence,
            parent=self._parent.point,
            created=self._domain.store.time(),
            run_id=self._request.run_id,
            policy=self._request.policy,
            policy_name=self._request.policy_name,
            tier=self._request.tier,
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
