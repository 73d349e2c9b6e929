"""The snapshot of the stopped VM that a restore in place takes before it replaces anything."""

from datetime import timedelta

from safehold.api.undoing import SafetySnapshot
from safehold.api.vmrestore import VMRestoreStatus
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.names import KEPT_UNTIL, UNDO_OF, safety_snapshot_name
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.steps import DeleteSafetySnapshot, Record, TakeSafetySnapshot
from safehold.plan.restore.undo.keeping import undo_end

PHASE = "Stopping"
DEADLINE = timedelta(minutes=5)
"""When KubeVirt gives it up by itself: until then it lets nobody start the VM."""
PATIENCE = timedelta(minutes=8)
"""When the restore goes on without it, also if nobody works on it."""


def take_safety_snapshot(look: Look) -> Decision | None:
    """Until the snapshot is there or cannot be had. The replaced volumes are kept anyway, so its lack stops nothing."""
    status = look.status
    if not look.in_place or look.restore.spec.safety_snapshot is False or look.swap_began:
        return None
    recorded = status.safety_snapshot
    if recorded is None:
        if any(record.path or record.step for record in status.volumes):
            return None  # it would be of volumes that are being replaced already
        name = safety_snapshot_name(look.restore.metadata.name, look.uid)
        return _take(look, SafetySnapshot(name=name, phase="Taking"))
    if recorded.phase != "Taking":
        return None
    found = look.seen.safety
    if found is None:
        return _take(look, recorded) if recorded.uid is None else _missing(look, recorded, "somebody deleted it")
    if recorded.uid is None:
        known = recorded.model_copy(update={"uid": found.uid})
        return look.goes_on(Record(), PHASE, "takes a snapshot of the stopped VM", safety_snapshot=known)
    return _judge(look, recorded, found)


def without_snapshot(status: VMRestoreStatus, why: str) -> VMRestoreStatus:
    """The status of a restore whose safety snapshot the cluster will not have, however often it is asked."""
    assert status.safety_snapshot is not None  # it is recorded before it is asked for
    missing = status.safety_snapshot.model_copy(update={"phase": "Missing", "message": why})
    return status.model_copy(update={"safety_snapshot": missing})


def _judge(look: Look, recorded: SafetySnapshot, found: SnapshotFacts) -> Decision:
    if found.ready and found.capture is not None:
        held = {volume.name for volume in found.capture.volumes}
        disks = [record.name for record in look.status.volumes if record.role == "Disk"]
        lacking = [name for name in disks if name not in held]
        message = f"without {', '.join(lacking)}, whose StorageClass has no VolumeSnapshotClass" if lacking else None
        if len(lacking) == len(disks):
            return _missing(look, recorded, "no volume's StorageClass has a VolumeSnapshotClass", found)
        taken = recorded.model_copy(update={"phase": "Taken", "message": message})
        return look.goes_on(Record(), PHASE, "took a snapshot of the stopped VM", safety_snapshot=taken)
    if found.failure or found.deleting:
        return _missing(look, recorded, f"KubeVirt could not take it: {found.failure or 'it was deleted'}", found)
    if look.now - found.created > PATIENCE:
        return _missing(look, recorded, f"KubeVirt did not finish it: {found.error or 'no answer'}", found)
    return look.waits(PHASE, f"waits for the snapshot of the stopped VM {found.error}".rstrip())


def _take(look: Look, recorded: SafetySnapshot) -> Decision:
    assert look.status.vm is not None
    step = TakeSafetySnapshot(
        name=recorded.name,
        vm=look.status.vm.name,
        deadline_seconds=int(DEADLINE.total_seconds()),
        labels={UNDO_OF: look.uid},
        annotations={KEPT_UNTIL: undo_end(look).isoformat()},
    )
    return look.goes_on(step, PHASE, "takes a snapshot of the stopped VM", safety_snapshot=recorded)


def _missing(look: Look, recorded: SafetySnapshot, why: str, found: SnapshotFacts | None = None) -> Decision:
    step = DeleteSafetySnapshot(found.name, found.uid) if found is not None and not found.deleting else Record()
    missing = recorded.model_copy(update={"phase": "Missing", "message": why})
    return look.goes_on(step, PHASE, f"goes on without a snapshot of the VM: {why}", safety_snapshot=missing)
