"""A disk beside a volume of a restore point: where they differ."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.scan import Batch, ScanPlan, claim_nothing, scan
from safehold.engine.disks.volumes import Extent, SourceVolume
from safehold.engine.maps.paths import MapPaths
from safehold.engine.maps.tree import MapCursor, MapReader
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.engine.reading import ChunkReader
from safehold.engine.repository import Domain
from safehold.errors import PointError, VolumeError
from safehold.reasons import Reason

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


def map_of(domain: Domain, manifest: Manifest, volume: StoredVolume) -> MapReader:
    """The volume's map."""
    domain.index.follow(manifest.segments)
    keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.NODES)
    return MapReader(volume.map(), volume.map_fanout, reader, domain.index)


def compare(
    domain: Domain,
    manifest: Manifest,
    volume: StoredVolume,
    disk: SourceVolume,
    *,
    stop: threading.Event,
    only: TouchedChunks | None = None,
) -> Iterator[Batch]:
    """The disk, as far as the volume goes, in batches that say which chunks differ and what the point has there.

    With `only`, these chunks are read and nothing else: of the disk, and of the map the way to them.
    """
    reader = map_of(domain, manifest, volume)
    keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    plan = ScanPlan(
        chunk_bytes=volume.chunk_bytes,
        batch_chunks=max(1, domain.geometry.frame_bytes // volume.chunk_bytes),
        id_key=keys.id_key,
        previous=MapCursor(MapPaths(reader, only) if only else reader),
        claim=claim_nothing,
        stop=stop,
        limit_bytes=volume.size_bytes,
        only=only,
    )
    return scan(disk, plan)


def differences(
    domain: Domain, manifest: Manifest, name: str, path: Path, *, stop: threading.Event, progress: ReportBytes
) -> Iterator[Extent]:
    """Where the disk is not what the point says, by chunks, in order; what is missing at its end is one extent more."""
    volume = volume_of(manifest, name)
    pending: Extent | None = None
    with SourceVolume(path) as disk:
        for batch in compare(domain, manifest, volume, disk, stop=stop):
            for slot, _ in batch.changed:
                chunk = _extent_of(slot, volume, disk)
                if pending and pending.end == chunk.offset:
                    pending = Extent(pending.offset, pending.length + chunk.length)
                    continue
                if pending:
                    yield pending
                pending = chunk
            progress(batch.slots * volume.chunk_bytes)
        if pending:
            yield pending
        if disk.size_bytes < volume.size_bytes:
            yield Extent(disk.size_bytes, volume.size_bytes - disk.size_bytes)


def verify(domain: Domain, manifest: Manifest, name: str, path: Path, *, stop: threading.Event) -> None:
    """Read a disk and compare it with the point's map; VolumeError (VerificationFailed) says where it differs first."""
    volume = volume_of(manifest, name)
    with SourceVolume(path) as disk:
        disk.drop_cache()
        for batch in compare(domain, manifest, volume, disk, stop=stop):
            if batch.changed:
                at = batch.changed[0][0] * volume.chunk_bytes
                raise VolumeError(
                    f"{path} does not hold what the restore point {manifest.point} says",
                    found=f"a difference between {at} and {at + volume.chunk_bytes}",
                    remedy="the disk or its cache loses writes",
                    reason=Reason.VERIFICATION_FAILED,
                )


def _extent_of(slot: int, volume: StoredVolume, disk: SourceVolume) -> Extent:
    start = slot * volume.chunk_bytes
    return Extent(start, min(volume.chunk_bytes, min(volume.size_bytes, disk.size_bytes) - start))
