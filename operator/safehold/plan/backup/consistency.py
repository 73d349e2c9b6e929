"""How well quiesced a capture is: what was observed, never what was hoped for."""

from datetime import datetime, timedelta

from safehold.api.consistency import Consistency, ConsistencyLevel
from safehold.api.vmbackup import ReachedConsistency, ReachedLevel
from safehold.plan.backup.capture_facts import CaptureFacts, SnapshotFacts
from safehold.plan.backup.facts import FreezeFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

GUEST_AGENT, NO_GUEST_AGENT, ONLINE = "GuestAgent", "NoGuestAgent", "Online"
PAUSED, QUIESCE_TIMEOUT = "Paused", "QuiesceTimeout"

_RANK = {"Crash": 0, "Filesystem": 1, "Application": 2, "Offline": 2}
"""Offline is as good as any: nothing runs in the guest that could be caught in mid-write (docs/adr/0006)."""
_RESOLUTION = timedelta(seconds=1)
"""Kubernetes keeps times in whole seconds, so a bound from two of them may be short by one."""


def reached(
    snapshot: SnapshotFacts,
    freeze: FreezeFacts | None,
    *,
    crashed: bool = False,
    thawed: bool = False,
    hooks_succeeded: bool | None = None,
) -> ReachedConsistency:
    """What KubeVirt's indications on a snapshot that succeeded prove.

    `crashed`: the VM's last instance failed. `thawed`: KubeVirt did not thaw, we did. `hooks_succeeded`: whether every
    declared hook did; None when none is declared.
    """
    level, reason = _level(snapshot.indications) if ONLINE in snapshot.indications else _offline_level(crashed)
    if level == "Filesystem" and (doubt := _doubt(freeze, thawed)):
        level, reason = "Crash", doubt
    frozen = level == "Filesystem"
    if frozen and hooks_succeeded is not None:
        level, reason = application_level(reason, hooks_succeeded)
    bound = (freeze or _upper_bound(snapshot)) if frozen else None
    return ReachedConsistency(
        reached=level,
        reason=reason,
        frozen_millis=bound.millis if bound else None,
        frozen_observation=bound.observation if bound else None,
        indications=list(snapshot.indications)[:16],
    )


def reached_unfrozen(
    captured: CaptureFacts, why: str, *, offline: bool, group: str | None = None
) -> ReachedConsistency:
    """What snapshots of our own are worth: nothing froze the guest.

    `why`: what kept KubeVirt from it. `offline`: the VM was stopped from before the first cut to after the last.
    `group`: the VolumeGroupSnapshot that cut all volumes at one instant; without one each was cut for itself.
    """
    times = [volume.content.cut_at for volume in captured.volumes if volume.content and volume.content.cut_at]
    # Drivers tell when they made each member; what makes them a group is that all hold one instant.
    skew = max(times) - min(times) if times and not group else timedelta()
    together = f"cut at one instant by VolumeGroupSnapshot {group}" if group else None
    how = (
        f"the VM was stopped, and its volumes were {together or 'cut one by one'}"
        if offline
        else f"the volumes were {together or 'cut'} without a freeze"
    )
    return ReachedConsistency(
        reached="Offline" if offline else "Crash",
        reason=f"{how}, because {why}",
        skew_millis=round(skew.total_seconds() * 1000),
    )


def suffices(found: ReachedConsistency, demanded: ConsistencyLevel) -> bool:
    """Whether a capture is at least as well quiesced as demanded."""
    return _RANK[found.reached] >= _RANK[demanded]


def judge_demand(found: ReachedConsistency, demanded: Consistency) -> Refusal | None:
    """What to tell people about a capture that is weaker than what was demanded; None for any other."""
    if suffices(found, demanded.level):
        return None
    message = f"demanded was {demanded.level}, reached was {found.reached}: {found.reason}"
    return Refusal(Reason.CONSISTENCY_NOT_REACHED, message)


def application_level(reason: str, hooks_succeeded: bool) -> tuple[ReachedLevel, str]:
    """The level and reason of a frozen capture around which hooks ran."""
    if hooks_succeeded:
        return "Application", f"{reason}, and every hook succeeded"
    return "Filesystem", f"{reason}, but not every hook succeeded"


def _doubt(freeze: FreezeFacts | None, thawed: bool) -> str | None:
    """Why a freeze that KubeVirt speaks of is not known to have lasted until the last cut."""
    if thawed:
        return "KubeVirt left the guest frozen, so the freeze is not known to have held: it was thawed"
    if freeze is not None and not freeze.held:
        return (
            "the guest was thawed before all volumes were cut, and not by KubeVirt: by a person, by a hook of another "
            "backup, or by its restart"
        )
    return None


def _offline_level(crashed: bool) -> tuple[ReachedLevel, str]:
    if crashed:
        return "Crash", "the VM was not running because its last instance failed, so its disks are as after a power cut"
    return "Offline", "the VM was stopped, so nobody wrote to its disks while the snapshot was cut"


def _level(indications: tuple[str, ...]) -> tuple[ReachedLevel, str]:
    if PAUSED in indications:
        return "Crash", "the VM was paused, so its guest could not be asked to freeze"
    if QUIESCE_TIMEOUT in indications:
        return "Crash", "the guest thawed by itself before the snapshot was cut"
    if GUEST_AGENT in indications:
        return "Filesystem", "the guest agent froze the file systems while the snapshot was cut"
    return "Crash", "no guest agent is connected: install and start qemu-guest-agent in the guest"


def _upper_bound(snapshot: SnapshotFacts) -> FreezeFacts | None:
    """The freeze lies between the snapshot's creation and the moment at which all volumes were cut."""
    cut: datetime | None = snapshot.capture.cut_time if snapshot.capture else None
    if cut is None:
        return None
    longest = max(cut - snapshot.created, timedelta()) + _RESOLUTION
    return FreezeFacts(int(longest.total_seconds() * 1000), "UpperBound")
