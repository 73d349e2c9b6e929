"""How long a restore will take, by how long others from the same target took, or else backups to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from safehold.api.vmbackup import VMBackupStatus
from safehold.api.vmrestore import VMRestoreStatus
from safehold.plan.restore.plan.surroundings import PastBackup, PastRestore
from safehold.plan.summary import readable_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Whole seconds, or None while nothing was measured; and what that rests on, for people."""

    seconds: int | None
    basis: str


def measured(status: VMRestoreStatus) -> PastRestore | None:
    """What a restore that went well took; None of others, and of those that were not measured."""
    seconds = _all(volume.seconds for volume in status.volumes)
    moved = _all(volume.bytes_restored for volume in status.volumes)
    if not seconds or not moved or status.failure or status.start_time is None or status.completion_time is None:
        return None
    return PastRestore(
        bytes_restored=int(moved),
        transfer_seconds=seconds,
        total_seconds=(status.completion_time - status.start_time).total_seconds(),
    )


def measured_backup(status: VMBackupStatus) -> PastBackup | None:
    """What a backup that is complete took; None where it was not measured, or had nothing to read."""
    seconds = _all(volume.seconds for volume in status.volumes)
    read = _all(volume.bytes_read for volume in status.volumes)
    return PastBackup(bytes_read=int(read), transfer_seconds=seconds) if seconds and read else None


def _all(numbers: Iterable[float | None]) -> float | None:
    """Their sum; None where one is missing."""
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def estimate(
    bytes_to_write: int | None, past: Sequence[PastRestore], backups: Sequence[PastBackup], *, target: str
) -> Estimate:
    """The bytes at the speed of all past transfers together, and the median of what came around each of them.

    Stopping the VM and handing volumes over take their time whatever the size is.
    """
    moved = sum(each.bytes_restored for each in past)
    seconds = sum(each.transfer_seconds for each in past)
    if not moved or seconds <= 0:
        return _by_backups(bytes_to_write, backups, target)
    speed = moved / seconds
    around = median(max(0.0, each.total_seconds - each.transfer_seconds) for each in past)
    measured = f"finished restores from {target} ({len(past)}) at {readable_bytes(round(speed))} a second"
    if bytes_to_write is None:
        return Estimate(seconds=None, basis=f"unknown: the size of a disk is not known; {measured}")
    basis = f"{measured}, and {around:.0f} seconds around the transfer"
    return Estimate(seconds=round(bytes_to_write / speed + around), basis=basis)


def _by_backups(bytes_to_write: int | None, backups: Sequence[PastBackup], target: str) -> Estimate:
    """At the speed at which disks were read and sent there: the nearest that is known of storage and store."""
    none = f"no restore from {target} has been measured yet"
    read = sum(each.bytes_read for each in backups)
    seconds = sum(each.transfer_seconds for each in backups)
    if not read or seconds <= 0:
        return Estimate(seconds=None, basis=f"unknown: {none}")
    if bytes_to_write is None:
        return Estimate(seconds=None, basis=f"unknown: the size of a disk is not known, and {none}")
    speed = read / seconds
    basis = (
        f"{none}; the last backups of the VM's namespace to it ({len(backups)}) ran at {readable_bytes(round(speed))} "
        "a second, and the time around the transfer is not known"
    )
    return Estimate(seconds=round(bytes_to_write / speed), basis=basis)
