"""Filling a disk from a restore point, and reading back what was written."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from safehold.engine.chunks import ID_BYTES, ZERO_ID
from safehold.engine.frames import FrameKind
from safehold.engine.manifest import Manifest, StoredVolume
from safehold.engine.maps import MapCursor, MapReader
from safehold.engine.reading import ChunkReader, PackRange, locate_all, plan_ranges
from safehold.engine.repository import Domain
from safehold.engine.scan import ScanPlan, claim_nothing, scan
from safehold.engine.volumes import Extent, SourceVolume, TargetVolume
from safehold.errors import InterruptedRunError, PointError, SafeholdError, VolumeError
from safehold.reasons import Reason

_WINDOW_CHUNKS = 32 * 1024
"""Chunks that are looked up together and fetched in the order of the packs: 8 GiB of data, about 10 MiB of memory."""
_READERS = 8
"""Requests under way at once, each of at most 4 MiB."""

ReportBytes = Callable[[int], None]
"""Called with bytes that are done now, not in all."""


def volume_of(manifest: Manifest, name: str) -> StoredVolume:
    """The volume of a point; PointError names those that it has."""
    volume = manifest.volume(name)
    if volume is None:
        raise PointError(
            f"The restore point {manifest.point} has no volume {name}",
            expected=" or ".join(v.name for v in manifest.volumes),
            reason=Reason.VOLUME_MISMATCH,
        )
    return volume


def fill(
    domain: Domain,
    manifest: Manifest,
    name: str,
    path: Path,
    *,
    stop: threading.Event,
    progress: ReportBytes,
    in_place: bool = False,
) -> None:
    """Write a volume of a point to a file or device, read it back, and only then give a file its final name.

    Every chunk is verified before it is written. A device that was filled in part is no disk: the error says so.
    """
    volume = volume_of(manifest, name)
    domain.index.follow(manifest.segments)
    with TargetVolume(path, volume.size_bytes, in_place=in_place) as target:
        try:
            _Filling(domain, manifest, volume, target, stop, progress).run()
            verify(domain, manifest, name, target.filling, stop=stop)
        except SafeholdError as problem:
            state = "it is filled in part, do not use it" if target.in_place else f"{path} was not touched"
            problem.remedy = f"{problem.remedy}; {state}" if problem.remedy else state
            raise
        target.finish()


def verify(domain: Domain, manifest: Manifest, name: str, path: Path, *, stop: threading.Event) -> None:
    """Read a disk and compare it with the point's map; VolumeError (VerificationFailed) says where it differs first."""
    volume = volume_of(manifest, name)
    domain.index.follow(manifest.segments)
    keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    with SourceVolume(path) as source:
        source.drop_cache()
        plan = ScanPlan(
            chunk_bytes=volume.chunk_bytes,
            batch_chunks=domain.geometry.frame_chunks,
            id_key=keys.id_key,
            previous=MapCursor(_map_reader(domain, manifest, volume)),
            claim=claim_nothing,
            stop=stop,
            limit_bytes=volume.size_bytes,
        )
        position = 0
        for batch in scan(source, plan):
            if batch.bytes_changed:
                raise VolumeError(
                    f"{path} does not hold what the restore point {manifest.point} says",
                    found=f"a difference between {position} and {position + batch.slots * volume.chunk_bytes}",
                    remedy="the disk or its cache loses writes",
                    reason=Reason.VERIFICATION_FAILED,
                )
            position += batch.slots * volume.chunk_bytes


def _map_reader(domain: Domain, manifest: Manifest, volume: StoredVolume) -> MapReader:
    keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.NODES)
    return MapReader(volume.map(), volume.map_fanout, reader, domain.index)


class _Filling:
    """One volume on its way from the packs to the disk."""

    def __init__(
        self,
        domain: Domain,
        manifest: Manifest,
        volume: StoredVolume,
        target: TargetVolume,
        stop: threading.Event,
        progress: ReportBytes,
    ) -> None:
        self._domain = domain
        self._volume = volume
        self._target = target
        self._stop = stop
        self._progress = progress
        self._map = _map_reader(domain, manifest, volume)
        keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
        self._reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.CHUNKS, compute_ids=False)

    def run(self) -> None:
        with ThreadPoolExecutor(_READERS, thread_name_prefix="restore") as executor:
            for places, end in self._windows():
                self._fetch(executor, places)
                self._progress(end)
        self._target.zero_behind_disk()
        self._target.flush()

    def _windows(self) -> Iterator[tuple[dict[bytes, list[int]], int]]:
        """Chunk ids with the chunks' places, some at a time, and how many bytes of the disk are covered then."""
        places: dict[bytes, list[int]] = defaultdict(list)
        count = covered = position = 0
        for leaf in self._map.leaves():
            for number in range(len(leaf.ids) // ID_BYTES):
                wanted = leaf.ids[number * ID_BYTES : (number + 1) * ID_BYTES]
                if wanted != ZERO_ID:
                    slot = leaf.first + number
                    self._zero_between(position, slot)
                    position = slot + 1
                    places[wanted].append(slot)
                    count += 1
            if count >= _WINDOW_CHUNKS:
                end = self._offset(position)
                yield places, end - covered
                places, count, covered = defaultdict(list), 0, end
        self._zero_between(position, self._volume.map().slots)
        yield places, self._volume.size_bytes - covered

    def _zero_between(self, first: int, last: int) -> None:
        if last > first:
            start = self._offset(first)
            self._target.zero(Extent(start, self._offset(last) - start))

    def _offset(self, slot: int) -> int:
        return min(slot * self._volume.chunk_bytes, self._volume.size_bytes)

    def _fetch(self, executor: ThreadPoolExecutor, places: dict[bytes, list[int]]) -> None:
        ranges = plan_ranges(locate_all(self._domain.index, sorted(places)))
        pending: deque[Future[None]] = deque()
        try:
            for wanted in ranges:
                if self._stop.is_set():
                    raise InterruptedRunError("The restore was told to stop")
                pending.append(executor.submit(self._write_range, wanted, places))
                if len(pending) > 2 * _READERS:
                    pending.popleft().result()
            while pending:
                pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _write_range(self, wanted: PackRange, places: dict[bytes, list[int]]) -> None:
        for chunk_id, content in self._reader.read(wanted):
            for slot in places[chunk_id]:
                offset = self._offset(slot)
                if len(content) != min(self._volume.chunk_bytes, self._volume.size_bytes - offset):
                    raise PointError(
                        "A map names a chunk that does not fit its place", found=f"{len(content)} bytes at {offset}"
                    )
                self._target.write(content, offset)
