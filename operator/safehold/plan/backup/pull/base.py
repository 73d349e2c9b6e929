"""When KubeVirt may build on its last checkpoint, and when everything must be read.

KubeVirt counts every pull that ends as complete, also one that nobody has read, and moves its tracker on. So what a
restore point holds is written on the tracker by us, after the point is complete; the worker compares it once more with
what the point itself says.
"""

from collections.abc import Iterable

from safehold.plan.backup.pull.facts import PullBackupFacts, TrackerFacts


def full_reason(tracker: TrackerFacts | None, *, instance_uid: str, disks: Iterable[str]) -> str | None:
    """Why a full backup must be asked for; None if an incremental one says all that changed since the last point."""
    if tracker is None or tracker.latest is None:
        return "there is no checkpoint of an earlier point"
    if tracker.latest != tracker.committed:
        return "KubeVirt's last checkpoint is of no complete restore point"
    if tracker.committed_instance != instance_uid:
        return "the VM was restarted since the last point"
    if tracker.redefining:
        return "KubeVirt is finding its checkpoint again after a restart or a migration"
    if new := sorted(set(disks) - set(tracker.latest_disks)):
        return f"disk {', '.join(new)} is new since the last point"
    return None


def base_of(backup: PullBackupFacts, tracker: TrackerFacts | None) -> str | None:
    """The checkpoint that the backup is incremental to; None for a full one.

    While a backup is under way its tracker does not move, so what the tracker says then is what KubeVirt built on.
    """
    if not backup.incremental or tracker is None:
        return None
    return tracker.latest
