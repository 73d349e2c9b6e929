"""How long a restore will take, by how long others from the same target took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from safehold.api.vmrestore import VMRestoreStatus
from safehold.plan.restore.plan.surroundings import PastRestore
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


def _all(numbers: Iterable[float | None]) -> float | None:
    """Their sum; None where one is missing."""
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def estimate(bytes_to_write: int | None, past: Sequence[PastRestore], *, target: str) -> Estimate:
    """The bytes at the speed of all past transfers together, and the median of what came around each of them.

    Stopping the VM and handing volumes over take their time whatever the size is.
    """
    moved = sum(each.bytes_restored for each in past)
    seconds = sum(each.transfer_seconds for each in past)
    if not moved or seconds <= 0:
        return Estimate(seconds=None, basis=f"unknown: no restore from {target} has been measured yet")
    speed = moved / seconds
    around = median(max(0.0, each.total_seconds - each.transfer_seconds) for each in past)
    measured = f"{len(past)} finished restores from {target} at {readable_bytes(round(speed))} a second"
    if bytes_to_write is None:
        return Estimate(seconds=None, basis=f"unknown: the size of a disk is not known; {measured}")
    basis = f"{measured}, and {around:.0f} seconds around the transfer"
    return Estimate(seconds=round(bytes_to_write / speed + around), basis=basis)
