"""What a VMBackup says about its restore point."""

from collections.abc import Sequence

from safehold.api import VMBackup
from safehold.api.restore_point import PointVM, PointVolume, RestorePoint
from safehold.api.vmbackup import VolumeBackup


def point_of(backup: VMBackup) -> RestorePoint:
    """The point of a VMBackup that is complete."""
    status, namespace = backup.status, backup.metadata.namespace or ""
    assert status.restore_point is not None
    assert status.capture_time is not None
    return RestorePoint(
        id=status.restore_point,
        capture_time=status.capture_time,
        consistency=status.consistency.reached if status.consistency else None,
        verified=is_verified(backup),
        vm=PointVM(
            cluster_id=status.cluster_id or "",
            namespace=namespace,
            namespace_uid=status.namespace_uid or "",
            name=backup.spec.vm.name,
            uid=status.vm_uid or "",
        ),
        target_ref=backup.spec.target_ref,
        target_namespace=namespace,
        repository_id=status.target.repository_id if status.target else None,
        volumes=[_volume(volume) for volume in status.volumes],
        excluded_volumes=[volume.name for volume in status.excluded_volumes],
    )


def is_verified(backup: VMBackup) -> bool:
    """Whether all disks of the point were read; a comparison that found a lie kept what was read."""
    return all(volume.engine == "Scan" or volume.mismatched_bytes is not None for volume in backup.status.volumes)


def disks_of(point: RestorePoint) -> Sequence[PointVolume]:
    """The volumes of a point that a VM gets back: a copy of its memory is none of them."""
    return [volume for volume in point.volumes if volume.role != "MemoryDump"]


def _volume(volume: VolumeBackup) -> PointVolume:
    return PointVolume(
        name=volume.name,
        role=volume.role,
        mode=volume.mode,
        capacity_bytes=volume.capacity_bytes,
        disk_bytes=volume.bytes_total,
        storage_class_name=volume.storage_class_name,
        access_modes=volume.access_modes,
        claim_name=volume.claim_name,
    )
