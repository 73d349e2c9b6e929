"""The snapshot controller's next step, in the order of writes that was recorded from KubeVirt.

A failing freeze is retried until the deadline and never becomes a crash-consistent snapshot. Not recorded, and made up
after the code's own words: what is said about a claim that is not bound, and about pods that use a stopped VM's claims.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.cluster.client import timestamp
from sandbox.cluster.metadata import finalizers_of, is_deleting
from sandbox.kubevirt.names import SNAPSHOT_FINALIZER
from sandbox.kubevirt.snapshots import statuses, steps
from sandbox.kubevirt.snapshots.children import content_of, volume_snapshots_of
from sandbox.kubevirt.snapshots.observed import Observed
from sandbox.kubevirt.stepping import Wait

RETRY_SECONDS = 5.0
"""Between attempts to freeze, to thaw, or to lock."""


def next_step(observed: Observed, now: datetime) -> steps.Step:
    """One step towards the snapshot, or towards its end. Repeating it with the same facts is harmless."""
    content = observed.content
    if content is not None and is_deleting(content) and finalizers_of(content) and not _thaw_due(observed):
        return _after_content_was_deleted(observed, now)
    if is_deleting(observed.snapshot):
        return _deletion(observed, now)
    if SNAPSHOT_FINALIZER not in finalizers_of(observed.snapshot):
        return steps.AddFinalizer()
    if not observed.status:
        return steps.WriteStatus(statuses.first_status(observed, timestamp(now)))
    if observed.in_progress:
        return _progress(observed, now)
    return _aftercare(observed, now)


def _progress(observed: Observed, now: datetime) -> steps.Step:
    left = observed.seconds_left(now)
    if left is not None and left <= 0:
        return _expiry(observed, now)
    if not observed.locked:
        return _locking(observed, now)
    if observed.content is None:
        if _progressing_reason(observed) != "Source locked and operation in progress":
            return steps.WriteStatus(
                statuses.progressing(observed, True, "Source locked and operation in progress", timestamp(now))
            )
        return steps.CreateContent(content_of(observed))
    return _earlier(_cut(observed, now), left)


def _locking(observed: Observed, now: datetime) -> steps.Step:
    if observed.vm is None:
        reason = "Source does not exist"
    else:
        cause = _obstacle(observed)
        if cause is None:
            return steps.LockSource()
        reason = f"Source not locked {cause}"
    if _progressing_reason(observed) != reason:
        return steps.WriteStatus(statuses.progressing(observed, False, reason, timestamp(now)))
    return Wait(RETRY_SECONDS)


def _obstacle(observed: Observed) -> str | None:
    assert observed.vm is not None
    metadata = observed.vm["metadata"]
    source = f"source {metadata['namespace']}/{metadata['name']}"
    if observed.holder and not observed.named_in_vm:
        return f'snapshot "{observed.holder}" in progress'
    names = observed.candidates.values()
    missing = [name for name in names if name not in observed.claims]
    if missing:
        return f"{source} volume doesnt exist: {','.join(missing)}"
    unbound = [name for name in names if (observed.claims[name].get("status") or {}).get("phase") != "Bound"]
    if unbound:
        return f"{source} volume not bound: {','.join(unbound)}"
    ending = [name for name in names if is_deleting(observed.claims[name])]
    if ending:
        return f"{source} volume is being deleted: {','.join(ending)}"
    if not observed.online and observed.pods_in_use:
        return f"source is offline but {observed.pods_in_use} pods using PVCs"
    return None


def _cut(observed: Observed, now: datetime) -> steps.Step:
    """Freeze, all VolumeSnapshots, thaw: between the first and the last nothing else is written."""
    wanted = volume_snapshots_of(observed)
    cut = "creationTime" in observed.content_status
    if wanted and not cut:
        if observed.freezable and not observed.frozen:
            return _freeze(observed, now)
        return steps.CreateVolumeSnapshots(wanted)
    taken = all("creationTime" in (item.get("status") or {}) for item in observed.volume_snapshots.values())
    if not cut and taken:
        if observed.frozen:
            return _thaw(observed, now)
        status = statuses.content_status(observed, timestamp(now)) | {"creationTime": timestamp(now)}
        finish = steps.WriteContentStatus(status)
        return _retried(observed, now, finish) if statuses.let_go(observed) else finish
    return _settle(observed, now)


def _freeze(observed: Observed, now: datetime) -> steps.Step:
    return _retried(observed, now, steps.Freeze(observed.deadline_seconds))


def _thaw(observed: Observed, now: datetime) -> steps.Step:
    return _retried(observed, now, steps.Thaw())


def _retried(observed: Observed, now: datetime, step: steps.Step) -> steps.Step:
    """The step, unless it failed a moment ago: then the snapshot's status says so first, and time passes."""
    error = observed.content_status.get("error")
    if not error:
        return step
    settled = statuses.settled_status(observed, timestamp(now))
    if settled != observed.status:
        return steps.WriteStatus(settled)
    waited = (now - datetime.fromisoformat(error["time"])).total_seconds()
    return step if waited >= RETRY_SECONDS else Wait(RETRY_SECONDS - waited)


def _settle(observed: Observed, now: datetime) -> steps.Step:
    wanted = statuses.content_status(observed, timestamp(now))
    if wanted != observed.content_status:
        fresh = set(statuses.missing_volume_snapshots(observed)) if not observed.content_status.get("error") else set()
        return steps.WriteContentStatus(wanted, tuple(sorted(fresh)))
    settled = statuses.settled_status(observed, timestamp(now))
    return steps.WriteStatus(settled) if settled != observed.status else Wait()


def _aftercare(observed: Observed, now: datetime) -> steps.Step:
    """After the outcome: unlock, and keep watching whether the VolumeSnapshots become ready and stay."""
    if _holds_source(observed):
        return steps.Thaw() if _thaw_due(observed) else steps.UnlockSource()
    if observed.vm and observed.status.get("sourceUID") != observed.vm["metadata"]["uid"]:
        # A VM made again under the old name takes over its snapshots, also the finished ones.
        return steps.WriteStatus(observed.status | {"sourceUID": observed.vm["metadata"]["uid"]})
    if observed.content is not None and observed.status["phase"] == "Succeeded":
        return _settle(observed, now)
    return Wait()


def _expiry(observed: Observed, now: datetime) -> steps.Step:
    if _thaw_due(observed):
        return steps.Thaw()
    if observed.content is not None and not is_deleting(observed.content):
        return steps.DeleteContent()
    return steps.WriteStatus(statuses.failed_status(observed, timestamp(now)))


def _after_content_was_deleted(observed: Observed, now: datetime) -> steps.Step:
    """The order that was recorded: an expired snapshot says that it failed before its content goes."""
    left = observed.seconds_left(now)
    expired = observed.in_progress and left is not None and left <= 0 and not is_deleting(observed.snapshot)
    return steps.WriteStatus(statuses.failed_status(observed, timestamp(now))) if expired else steps.ReleaseContent()


def _deletion(observed: Observed, now: datetime) -> steps.Step:
    if SNAPSHOT_FINALIZER not in finalizers_of(observed.snapshot):
        return Wait()
    if _thaw_due(observed):
        return steps.Thaw()
    if observed.in_progress:
        return steps.WriteStatus(statuses.deleting_status(observed, timestamp(now)))
    if observed.content is not None and not is_deleting(observed.content) and not _retained(observed):
        return steps.DeleteContent()
    return steps.UnlockSource() if _holds_source(observed) else steps.RemoveFinalizer()


def _retained(observed: Observed) -> bool:
    """Only a content that is ready is kept; as recorded, the policy's spelling is not checked."""
    policy = str(observed.snapshot["spec"].get("deletionPolicy") or "")
    return policy.lower() == "retain" and bool(observed.content_status.get("readyToUse"))


def _thaw_due(observed: Observed) -> bool:
    return observed.frozen and observed.named_in_vm


def _holds_source(observed: Observed) -> bool:
    return observed.vm is not None and observed.named_in_vm


def _progressing_reason(observed: Observed) -> str | None:
    for item in observed.status.get("conditions") or []:
        if item["type"] == "Progressing":
            return str(item["reason"])
    return None


def _earlier(step: steps.Step, left: float | None) -> steps.Step:
    """A wait ends at the deadline at the latest."""
    if not isinstance(step, Wait) or left is None:
        return step
    return Wait(left if step.seconds is None else min(step.seconds, left))
