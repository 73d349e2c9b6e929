"""Which of a point's volumes are restored, and what it means to restore only some."""

from safehold.api import VMRestore
from safehold.api.restore_point import PointVolume, RestorePoint
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Look
from safehold.plan.restore.point.description import disks_of
from safehold.reasons import Reason


def chosen_disks(restore: VMRestore, point: RestorePoint) -> list[PointVolume] | Refusal:
    """The disks that the restore asks for, in the point's order; refused when the point lacks one."""
    disks, wanted = list(disks_of(point)), restore.spec.volumes
    if wanted is None:
        return disks
    held = {disk.name for disk in disks}
    if missing := [name for name in wanted if name not in held]:
        message = (
            f"the restore point holds no volume {', '.join(missing)}; it holds {', '.join(sorted(held)) or 'none'}: "
            "correct spec.volumes"
        )
        return Refusal(Reason.VOLUME_MISMATCH, message[:1024])
    return [disk for disk in disks if disk.name in wanted]


def left_out(restore: VMRestore, point: RestorePoint) -> list[str]:
    """The disks that the VM comes back without: those of the point that are not asked for, and those it lacks."""
    return [*_not_asked_for(restore, point), *point.excluded_volumes]


def _not_asked_for(restore: VMRestore, point: RestorePoint) -> list[str]:
    wanted = restore.spec.volumes
    return [] if wanted is None else [disk.name for disk in disks_of(point) if disk.name not in wanted]


def warn_of_parts(look: Look) -> str:
    """What people must know of a VM of which only some disks were restored; nothing when all were."""
    others, excluded = _not_asked_for(look.restore, look.point), look.point.excluded_volumes
    if look.volumes_only or not (others or excluded):
        return ""
    if look.in_place:
        return (
            f"; volume {', '.join([*others, *excluded])} was left as it is: the disks are of different moments, so "
            "what the guest keeps on several of them may not fit together"
        )
    reasons = ((others, "which was not asked for"), (excluded, "which the backup had left out"))
    return "".join(f"; without volume {', '.join(names)}, {reason}" for names, reason in reasons if names)
