"""What a base must prove before a run takes over, unread, what is said not to have changed since."""

from safehold.engine.geometry import Geometry
from safehold.engine.points.manifest import BaseIdentity, StoredVolume

_NAMES = {
    "pvc_uid": "claim",
    "volume_handle": "volume handle",
    "driver": "driver",
    "capacity_bytes": "capacity",
    "last_restore_uid": "last restore",
}


def doubt_in_base(
    stored: StoredVolume, *, base: str | None, source: BaseIdentity | None, size_bytes: int, geometry: Geometry
) -> str | None:
    """Why changes since `base` say nothing about what the parent point has of the volume; None if they do.

    After a restore, a resize, a swapped claim, or a run whose snapshot is not the base, an answer is about other bytes.
    """
    if base is None:
        return "there is no base to ask for changes since"
    if stored.checkpoint is None:
        return "the last point does not say which snapshot its data is of"
    if stored.checkpoint != base:
        return "the base is not the snapshot that the last point was made of"
    if stored.size_bytes != size_bytes:
        return f"the disk had {stored.size_bytes} bytes and has {size_bytes}"
    if stored.chunk_bytes != geometry.chunk_bytes or stored.map_fanout != geometry.map_fanout:
        return "the last point has a map of another shape"
    return _difference(stored.source, source)


def _difference(before: BaseIdentity | None, now: BaseIdentity | None) -> str | None:
    if before is None and now is None:  # a disk without a cluster, for which who runs the command answers
        return None
    if before is None or now is None:
        return "the last point does not say which volume its data is of"
    changed = [word for name, word in _NAMES.items() if getattr(before, name) != getattr(now, name)]
    return f"the volume is not the one of the last point: another {' and '.join(changed)}" if changed else None
