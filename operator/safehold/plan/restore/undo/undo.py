"""`spec.undo`: the VM is stopped, gets the volumes back that a restore in place replaced, and runs as before."""

from collections.abc import Callable
from datetime import timedelta

from safehold.api import VMRestore
from safehold.api.base import Failure
from safehold.api.restored_volumes import VolumeRestore
from safehold.api.vmrestore import RestoredVM
from safehold.plan.conditions import State, is_finished
from safehold.plan.names import UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import VMFacts
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.machine.power import run_as_before, stop_vm
from safehold.plan.restore.steps import Finished, Record
from safehold.plan.restore.undo.keeping import keep_volumes, undo_end
from safehold.plan.restore.undo.reversal import hand_back, settle_back
from safehold.plan.restore.volumes.claim_record import claim_record, without_owners
from safehold.reasons import Reason

PHASE = "Undoing"
_MAY_PASS = (Reason.VOLUME_MISMATCH, Reason.CLAIM_CONFLICT)
"""Refusals that people can remove; `undo` can be set once only, so it stays asked for until its time is over."""
_PAUSE = timedelta(seconds=15)
"""Between two looks at whether that was done."""


def is_undo_asked(restore: VMRestore) -> bool:
    """Whether `spec.undo` was set and has not been dealt with."""
    status = restore.status
    return restore.spec.undo and status.completion_time is not None and status.undo_end_time is None


def undo(look: Look) -> Decision:
    """The next step back to the volumes that were kept. Once it has begun it only goes on."""
    if look.status.undo_start_time is None:
        return Decision(Finished(), look.status) if look.deleting else _begin(look)
    if look.seen.namespace_ending:
        why = Refusal(Reason.CANCELLED, f"namespace {look.seen.namespace.name} is being deleted")
        return _end_badly(look, why)
    if look.status.failure is not None:
        return _give_up(look, look.status.failure)
    stages: tuple[Callable[[Look], Decision | None], ...] = (_stop, _hand_back, _settle_back, keep_volumes, _run)
    for stage in stages:
        decision = stage(look)
        if decision is not None:
            return decision
    return _succeed(look)


def _begin(look: Look) -> Decision:
    refusal = _refuse(look)
    if refusal is not None and refusal.reason is Reason.WAITING:
        return look.waits(PHASE, refusal.message)
    if refusal is not None and refusal.reason in _MAY_PASS:
        return look.rests("Stalled", PHASE, refusal.reason, refusal.message, again=look.now + _PAUSE)
    if refusal is not None:
        return _end_badly(look, refusal)
    vm, before = look.seen.vm, look.status.vm
    assert vm is not None  # _refuse saw to that
    assert before is not None
    running = RestoredVM(name=before.name, uid=vm.uid, original_run_strategy=vm.run_strategy, was_running=vm.is_running)
    records = [_begun(look, record) for record in look.status.volumes]
    return look.goes_on(Record(), PHASE, "begins the undo", undo_start_time=look.now, vm=running, volumes=records)


def _begun(look: Look, record: VolumeRestore) -> VolumeRestore:
    """With the claim as it is now: since the restore it may have got labels and owners."""
    claim = look.volume(record).claim
    if record.old_persistent_volume is None:
        return record
    now = claim_record(claim) if claim is not None else record.old_claim
    return record.model_copy(update={"step": Mark.UNDOING, "old_claim": now})


def _refuse(look: Look) -> Refusal | None:
    status, vm = look.status, look.seen.vm
    if status.failure is not None:
        message = f"the restore failed, so there is nothing to undo: {status.failure.message}"
        return Refusal(Reason.UNDO_NOT_POSSIBLE, message)
    until = status.undo_until
    if until is None or look.now >= until or status.removal_time is not None:
        when = f" at {until:%FT%TZ}" if until else ""
        message = f"the time for an undo ended{when}, and the replaced volumes were removed; restore an older point"
        return Refusal(Reason.UNDO_EXPIRED, message)
    name = status.vm.name if status.vm else ""
    if vm is None or status.vm is None or vm.deleting or vm.uid != status.vm.uid:
        message = f"VM {name} is gone or another one of that name; the kept volumes stay until {until:%FT%TZ}"
        return Refusal(Reason.VM_NOT_FOUND, message)
    return _refuse_rival(look, name) or _refuse_volumes(look, vm)


def _refuse_rival(look: Look, vm: str) -> Refusal | None:
    for other in look.seen.others:
        named = other.status.vm.name if other.status.vm else None
        if other.spec.target.mode == "InPlace" and named == vm and not is_finished(other.status.conditions):
            message = f"VMRestore {other.metadata.name} is at work on VM {vm}; the undo begins when that has ended"
            return Refusal(Reason.WAITING, message)
    return None


def _refuse_volumes(look: Look, vm: VMFacts) -> Refusal | None:
    kept = [record for record in look.status.volumes if record.old_persistent_volume is not None]
    if not kept:
        return Refusal(Reason.UNDO_NOT_POSSIBLE, "the restore replaced no volume, so there is nothing to go back to")
    for record in kept:
        seen = look.volume(record)
        if seen.old is None or seen.old.labels.get(UNDO_OF) != look.uid:
            message = f"PersistentVolume {record.old_persistent_volume}, which was kept of {record.name}, is gone"
            return Refusal(Reason.UNDO_NOT_POSSIBLE, f"{message}; restore an older point instead")
        if record.role == "Disk" and vm.claims.get(record.name) != record.claim_name:
            message = f"volume {record.name} of the VM is no longer claim {record.claim_name}; change the VM back first"
            return Refusal(Reason.VOLUME_MISMATCH, message)
        if seen.claim is not None and seen.claim.volume != record.persistent_volume:
            return _refuse_later(look, record.claim_name, seen.claim.volume)
    return None


def _refuse_later(look: Look, claim: str, volume: str | None) -> Refusal:
    """The claim was given another volume since: by a restore that can be undone, or in a way that nobody knows."""
    message = f"claim {claim} no longer holds the volume that this restore gave it"
    for later in look.seen.others:
        if volume is None or volume not in [record.persistent_volume for record in later.status.volumes]:
            continue
        called = f"VMRestore {later.metadata.name}, which came after it"
        if later.status.removal_time is not None:
            message = f"{message}, and the undo of {called}, is over; restore an older point instead"
            return Refusal(Reason.UNDO_NOT_POSSIBLE, message)
        return Refusal(Reason.CLAIM_CONFLICT, f"{message}; undo {called}, and this undo begins")
    return Refusal(Reason.CLAIM_CONFLICT, f"{message}; give it back, or undo the restore that came after it")


def _stop(look: Look) -> Decision | None:
    return None if _is_undone(look) else stop_vm(look)


def _hand_back(look: Look) -> Decision | None:
    for record in look.status.volumes:
        if record.step != Mark.UNDOING:
            continue
        wanted = record if look.has_vm else without_owners(record)
        step = hand_back(wanted, look.volume(record), look.place)
        if isinstance(step, Refusal):
            if step.reason is Reason.VOLUME_ERROR:
                return look.fails(step)
            return look.waits(PHASE, step.message, reason=step.reason)
        if step is not None:
            return look.goes_on(step, PHASE, f"gives claim {record.claim_name} its volume back")
    return None


def _settle_back(look: Look) -> Decision | None:
    undoing = [record for record in look.status.volumes if record.step == Mark.UNDOING]
    for record in undoing:
        step = settle_back(record, look.volume(record))
        if step is not None:
            return look.goes_on(step, PHASE, f"gives volume {record.name} its reclaim policy back")
    if not undoing:
        return None
    records = look.marked(Mark.UNDONE, [record.name for record in undoing])
    message = "all volumes are back"
    return look.goes_on(Record(), PHASE, message, volumes=records, undo_until=undo_end(look))


def _is_undone(look: Look) -> bool:
    return all(record.step != Mark.UNDOING for record in look.status.volumes)


def _run(look: Look) -> Decision | None:
    step = run_as_before(look)
    return None if step is None else look.goes_on(step, PHASE, "starts the VM")


def _succeed(look: Look) -> Decision:
    until, vm = look.status.undo_until, look.status.vm
    assert until is not None
    assert vm is not None
    restored_only = [record.claim_name for record in look.status.volumes if record.step != Mark.UNDONE]
    claims = ", ".join(record.claim_name for record in look.status.volumes if record.step == Mark.UNDONE)
    back = f"VM {vm.name} is back on its own volumes"
    if not look.has_vm:
        back = f"somebody deleted VM {vm.name} during the undo; its own volumes are under {claims}, create it anew"
    message = f"{back}; the restored ones are kept until {until:%FT%TZ}"
    if restored_only:
        message += f"; {', '.join(restored_only)} had no volume before the restore, and stay"
    return _end(look, "Ready", "Undone", Refusal(Reason.UNDONE, message))


def _give_up(look: Look, failure: Failure) -> Decision:
    """The VM runs again on what its claims hold; what was kept stays."""
    return _run(look) or _end_badly(look, Refusal(Reason(failure.reason), failure.message))


def _end_badly(look: Look, why: Refusal) -> Decision:
    return _end(look, "Stalled", "UndoFailed", why)


def _end(look: Look, state: State, phase: str, why: Refusal) -> Decision:
    """The restore's own end stays as it was."""
    ended = {"completion_time": look.status.completion_time, "undo_end_time": look.now}
    return look.ends(Record(), state, phase, why.reason, why.message, **ended)
