"""The restore controller's next step, in the order of writes that was recorded from KubeVirt.

Not recorded, and worded after the code: the failure after the grace period, and WaitEventually. Not imitated: the
harmless "already exists" of the real controller's cache, and its stall after an in-place restore deleted its claims.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import finalizers_of, is_deleting
from sandbox.kubevirt.conditions import is_true, with_reason
from sandbox.kubevirt.durations import format_duration
from sandbox.kubevirt.names import RESTORE_FINALIZER
from sandbox.kubevirt.restores import steps
from sandbox.kubevirt.restores.children import claims_of, new_target, restores_of, updated_target
from sandbox.kubevirt.restores.observed import Observed
from sandbox.kubevirt.stepping import Wait

GRACE_SECONDS = 300.0
RETRY_SECONDS = 5.0
_INITIALIZING = "Initializing VirtualMachineRestore"
_MUST_BE_OFF = "Restore target VMI must be powered off before restore operation"


def next_step(observed: Observed, now: datetime) -> steps.Step:
    """One step towards the restored VM. Repeating it with the same facts is harmless."""
    if is_deleting(observed.restore):
        return _deletion(observed)
    status = observed.status
    if not status:
        return steps.WriteStatus(_words({"complete": False}, True, _INITIALIZING, _INITIALIZING, now))
    if status.get("complete") or is_true(observed.restore, "Failure"):
        # A failure by the grace period must not leave the target marked.
        return steps.MarkTarget(None) if _marked(observed) else Wait()
    if RESTORE_FINALIZER not in finalizers_of(observed.restore):
        return steps.Adopt(observed.target)
    problem = _problem(observed)
    if problem:
        event = ("Warning", "VirtualMachineRestoreError", f"VirtualMachineRestore encountered error {problem}")
        return _say(observed, False, problem, problem, now, event) or Wait(RETRY_SECONDS)
    if observed.target_runs and not observed.target_updated:
        return _wait_for_target(observed, now)
    return _claims(observed, now)


def _deletion(observed: Observed) -> steps.Step:
    if _marked(observed):
        return steps.MarkTarget(None)
    return steps.RemoveFinalizer() if RESTORE_FINALIZER in finalizers_of(observed.restore) else Wait()


def _problem(observed: Observed) -> str | None:
    name = f"{observed.namespace}/{observed.restore['spec']['virtualMachineSnapshotName']}"
    if observed.snapshot is None:
        return f"VMSnapshot {name} does not exist"
    if not (observed.snapshot.get("status") or {}).get("readyToUse") or observed.content is None:
        return f"VMSnapshot {name} not ready"
    source = observed.snapshot["status"].get("sourceUID")
    target = observed.target
    if target is not None and not observed.target_updated and target["metadata"]["uid"] != source:
        return "restore source and restore target are different but restore target already exists"
    return None


def _wait_for_target(observed: Observed, now: datetime) -> steps.Step:
    policy = observed.restore["spec"].get("targetReadinessPolicy") or "WaitGracePeriod"
    created = datetime.fromisoformat(observed.restore["metadata"]["creationTimestamp"])
    left = GRACE_SECONDS - (now - created).total_seconds()
    if policy == "FailImmediate" or (policy == "WaitGracePeriod" and left <= 0):
        event = ("Warning", "Operation failed", f"VirtualMachineRestore failed {_MUST_BE_OFF}")
        status = _words(observed.status, False, _MUST_BE_OFF, _MUST_BE_OFF, now)
        conditions = with_reason(status["conditions"], "Failure", True, _MUST_BE_OFF, timestamp(now))
        return steps.WriteStatus({**status, "conditions": conditions}, event)
    if policy == "StopTarget":
        return _stop_target(observed, now)
    reason = "Waiting for target VM to be powered off. Please stop the restore target to proceed with restore"
    if policy == "WaitGracePeriod":
        reason += f", or the operation will fail after {format_duration(GRACE_SECONDS)}"
    message = "Restore target VMI still exists, please stop the restore target to proceed with restore"
    said = _say(observed, False, reason, reason, now, ("Warning", "RestoreTargetNotReady", message))
    return said or Wait(min(left, RETRY_SECONDS) if policy == "WaitGracePeriod" else RETRY_SECONDS)


def _stop_target(observed: Observed, now: datetime) -> steps.Step:
    assert observed.target is not None
    if observed.target["spec"].get("runStrategy") != "Halted" and observed.target["spec"].get("running") is not False:
        return steps.StopTarget()
    reason = "Automatically stopping restore target for restore operation"
    said = _say(observed, False, reason, reason, now, ("Warning", "RestoreTargetNotReady", reason))
    return said or Wait(RETRY_SECONDS)


def _claims(observed: Observed, now: datetime) -> steps.Step:
    if observed.target is not None and not _marked(observed) and not observed.target_updated:
        return steps.MarkTarget(observed.name)
    if not observed.restores:
        status = _words(observed.status, True, "Creating new PVCs", "Waiting for new PVCs", now)
        return steps.WriteStatus({**status, "restores": restores_of(observed)})
    if observed.target_updated:
        return _completion(observed, now)
    replaced = tuple(name for name, claim in observed.claims.items() if not observed.is_restored(claim))
    if replaced:
        ending = all(is_deleting(observed.claims[name]) for name in replaced)
        return Wait() if ending else steps.DeleteClaims(replaced)
    missing = claims_of(observed)
    if missing:
        return steps.CreateClaims(missing)
    if not all(_usable(observed, name, claim) for name, claim in observed.claims.items()):
        return Wait()
    return (
        steps.CreateTarget(new_target(observed))
        if observed.target is None
        else steps.UpdateTarget(updated_target(observed))
    )


def _completion(observed: Observed, now: datetime) -> steps.Step:
    said = None
    if not _is_said(observed, "Updating target spec"):
        said = _say(observed, True, "Updating target spec", "Waiting for target update", now, None)
    if said:
        return said
    if not observed.restore["metadata"].get("ownerReferences"):
        return steps.Adopt(observed.target)
    if _marked(observed):
        return steps.MarkTarget(None)
    status = _words(observed.status, False, "Operation complete", "Operation complete", now, ready=True)
    message = f"Successfully completed VirtualMachineRestore {observed.name}"
    done = {**status, "complete": True, "restoreTime": timestamp(now)}
    return steps.WriteStatus(done, ("Normal", "VirtualMachineRestoreComplete", message))


def _usable(observed: Observed, name: str, claim: Object) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound" or name in observed.late_claims


def _marked(observed: Observed) -> bool:
    return ((observed.target or {}).get("status") or {}).get("restoreInProgress") == observed.name


def _is_said(observed: Observed, reason: str) -> bool:
    conditions = observed.status.get("conditions") or []
    return any(item["type"] == "Progressing" and item["reason"] == reason for item in conditions)


def _say(
    observed: Observed, running: bool, reason: str, waiting: str, now: datetime, event: tuple[str, str, str] | None
) -> steps.Step | None:
    """The write of these words, None if they stand there already."""
    if _is_said(observed, reason):
        return None
    return steps.WriteStatus(_words(observed.status, running, reason, waiting, now), event)


def _words(status: Object, running: bool, reason: str, waiting: str, now: datetime, *, ready: bool = False) -> Object:
    conditions = with_reason(status.get("conditions") or [], "Progressing", running, reason, timestamp(now))
    conditions = with_reason(conditions, "Ready", ready, waiting, timestamp(now))
    return {**status, "conditions": conditions}
