"""How well quiesced a capture is: what was observed, never what was hoped for."""

from datetime import datetime, timedelta
from typing import Literal

from safehold.api.policy import ConsistencyLevel
from safehold.api.vmbackup import ReachedConsistency
from safehold.plan.backup.facts import FreezeFacts, SnapshotFacts

GUEST_AGENT, NO_GUEST_AGENT, ONLINE = "GuestAgent", "NoGuestAgent", "Online"
PAUSED, PARTIAL, QUIESCE_TIMEOUT = "Paused", "PartialSnapshot", "QuiesceTimeout"

_RANK = {"Crash": 0, "Offline": 1, "Filesystem": 1, "Application": 2}
"""Offline is as good as Filesystem: neither catches a guest that writes (docs/adr/0006)."""
_RESOLUTION = timedelta(seconds=1)
"""Kubernetes keeps times in whole seconds, so a bound from two of them may be short by one."""


def reached(snapshot: SnapshotFacts, freeze: FreezeFacts | None, *, crashed: bool = False) -> ReachedConsistency:
    """What KubeVirt's indications on a snapshot that succeeded prove. `crashed`: the VM's last instance failed."""
    level, reason = _level(snapshot.indications) if ONLINE in snapshot.indications else _offline_level(crashed)
    bound = freeze if level == "Filesystem" else None
    if level == "Filesystem" and bound is None:
        bound = _upper_bound(snapshot)
    return ReachedConsistency(
        reached=level,
        reason=reason,
        frozen_millis=bound.millis if bound else None,
        frozen_observation=bound.observation if bound else None,
        indications=list(snapshot.indications)[:16],
    )


def suffices(found: ReachedConsistency, demanded: ConsistencyLevel) -> bool:
    """Whether a capture is at least as well quiesced as demanded."""
    return _RANK[found.reached] >= _RANK[demanded]


def _offline_level(crashed: bool) -> tuple[Literal["Crash", "Offline"], str]:
    if crashed:
        return "Crash", "the VM was not running because its last instance failed, so its disks are as after a power cut"
    return "Offline", "the VM was stopped, so nobody wrote to its disks while the snapshot was cut"


def _level(indications: tuple[str, ...]) -> tuple[Literal["Crash", "Filesystem"], str]:
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
