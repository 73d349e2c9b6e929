"""The next step of a restore: choose a point, fill new volumes, hand them over, rebuild or restart the VM.

Each stage answers with its next step and the status to set before that step, or with nothing when it is done. Stages
look at the record in the status and at the cluster, never at how far the last call got. Until the first volume is
swapped in place, a failure takes everything back; after it a restore only goes forward.
"""

from collections.abc import Callable

from safehold.api import Failure
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.refusal import Refusal
from safehold.plan.restore.beginning import begin
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.machine.power import start_vm, stop_vm
from safehold.plan.restore.machine.readiness import await_stopped_vm
from safehold.plan.restore.machine.rebuild import rebuild_vm
from safehold.plan.restore.point.choice import choose_point
from safehold.plan.restore.point.inquiry import read_manifest
from safehold.plan.restore.steps import DeleteJob, Finished, Record
from safehold.plan.restore.undo.keeping import after_end, keep_volumes
from safehold.plan.restore.undo.safety import take_safety_snapshot
from safehold.plan.restore.undo.undo import is_undo_asked, undo
from safehold.plan.restore.undo.withdrawal import take_everything_back
from safehold.plan.restore.volumes.claim_record import claim_record, without_owners
from safehold.plan.restore.volumes.fill import fill
from safehold.plan.restore.volumes.handover import hand_over, settle
from safehold.plan.restore.volumes.selection import warn_of_parts
from safehold.plan.restore.volumes.ways import choose_ways, close_snapshots, open_snapshots
from safehold.reasons import Reason


def next_step(look: Look) -> Decision:
    """What to do now. The status comes first: it records what the step will touch."""
    if is_undo_asked(look.restore):
        return undo(look)
    if look.is_over:
        return look.takes_note() or after_end(look)
    why = look.given_up
    if why is not None:
        return take_everything_back(look, why)
    stages: tuple[Callable[[Look], Decision | None], ...] = (
        choose_point,
        read_manifest,
        await_stopped_vm,
        begin,
        stop_vm,
        take_safety_snapshot,
        choose_ways,
        open_snapshots,
        fill,
        _begin_hand_over,
        _hand_over,
        rebuild_vm,
        _remove_job,
        close_snapshots,
        _settle,
        start_vm,
        keep_volumes,
    )
    for stage in stages:
        decision = stage(look)
        if decision is not None:
            return decision
    return _succeed(look)


def _begin_hand_over(look: Look) -> Decision | None:
    """Record what is replaced; from here on a restore in place only goes forward."""
    if not any(record.step == Mark.VERIFIED for record in look.status.volumes):
        return None
    if refusal := _refuse_changes(look):
        return look.fails(refusal)
    records: list[VolumeRestore] = []
    for record in look.status.volumes:
        seen = look.volume(record)
        changes: dict[str, object] = {"step": Mark.HANDING_OVER}
        if look.in_place and seen.claim is not None:
            changes["old_claim"] = claim_record(seen.claim)
            changes["old_persistent_volume"] = seen.claim.volume
            changes["old_reclaim_policy"] = seen.old.reclaim_policy if seen.old else None
        records.append(record.model_copy(update=changes))
    return look.goes_on(Record(), "HandingOver", "hands the restored volumes over", volumes=records)


def _refuse_changes(look: Look) -> Refusal | None:
    """In place, right before the first swap: whether the VM still has its volumes where they were."""
    vm = look.seen.vm
    if not look.in_place or vm is None or look.swap_began:
        return None
    for record in look.status.volumes:
        found = vm.claims.get(record.name)
        if record.role == "Disk" and found != record.claim_name:
            message = (
                f"somebody changed volume {record.name} of the VM while it was restored: it was claim "
                f"{record.claim_name}, and is {found or 'gone'} now; nothing of the VM was changed, restore again"
            )
            return Refusal(Reason.VOLUME_MISMATCH, message)
    return None


def _hand_over(look: Look) -> Decision | None:
    for record in look.status.volumes:
        if record.step == Mark.DONE:
            continue
        wanted = without_owners(record) if look.in_place and not look.has_vm else record
        step = hand_over(wanted, look.volume(record), look.place)
        if isinstance(step, Refusal):
            return _blocked(look, step)
        if step is not None:
            return look.goes_on(step, "HandingOver", f"hands volume {record.name} over to claim {record.claim_name}")
    return None


def _blocked(look: Look, refusal: Refusal) -> Decision:
    """After the first swap nobody but us may have the claims: who holds them must let go.

    When a restored volume itself is gone, or nobody waits for the restore any more, the VM gets its own volumes back.
    """
    if not look.swap_began:
        return look.fails(refusal)
    if refusal.reason is not Reason.VOLUME_ERROR and not look.deleting:
        return look.waits("HandingOver", refusal.message, reason=refusal.reason)
    return look.fails(refusal)


def _remove_job(look: Look) -> Decision | None:
    """Its pod holds the filling claims, and its Secret the key of the envelope; so with the one that was asked."""
    jobs = [job.name for job in (look.seen.job, look.seen.inquiry.job) if job is not None]
    if not jobs or look.all_are(Mark.DONE):
        return None
    return look.goes_on(DeleteJob(jobs[0]), "HandingOver", "removes the worker")


def _settle(look: Look) -> Decision | None:
    for record in look.status.volumes:
        if record.step == Mark.DONE:
            continue
        seen = look.volume(record)
        step = settle(record, seen)
        if step is not None:
            return look.goes_on(step, "HandingOver", f"gives volume {record.name} its reclaim policy back")
    if look.all_are(Mark.DONE):
        return None
    records = look.marked(Mark.DONE, [record.name for record in look.status.volumes])
    return look.goes_on(Record(), "HandingOver", "all volumes are handed over", volumes=records)


def _succeed(look: Look) -> Decision:
    point, vm = look.point, look.status.vm
    claims = ", ".join(record.claim_name for record in look.status.volumes)
    made = f"VM {vm.name} is" if vm is not None else f"claims {claims} are"
    message = f"{made} restored from point {point.id} of VM {point.vm.namespace}/{point.vm.name}"
    message += warn_of_parts(look)
    if look.in_place and vm is not None and not look.has_vm:
        return _end_without_vm(look, vm.name)
    if look.in_place and look.status.undo_until is not None:
        message += (
            f"; the replaced volumes are kept until {look.status.undo_until:%FT%TZ}, and `undo: true` brings them "
            f"back: kubectl get pv -l safehold.dev/undo-of={look.uid}"
        )
    if left_out := [
        f"{key} of {record.claim_name}"
        for record in look.status.volumes
        if record.old_claim
        for key in record.old_claim.left_out_annotations
    ]:
        message += f"; annotations that are too large were not carried over: {', '.join(left_out)}"
    if look.status.kept_objects:
        names = ", ".join(look.status.kept_objects)
        message += f"; objects with other content existed and were not overwritten: {names}"
    if look.status.replaced_objects:
        message += f"; replaced, and kept in Secret {look.status.replaced_objects_secret}: " + ", ".join(
            look.status.replaced_objects
        )
    if look.status.missing_objects:
        message += f"; not here, and not needed by a VM with revisions: {', '.join(look.status.missing_objects)}"
    return look.ends(Finished(), "Ready", "Completed", Reason.SUCCEEDED, message)


def _end_without_vm(look: Look, vm: str) -> Decision:
    claims = ", ".join(record.claim_name for record in look.status.volumes)
    message = f"somebody deleted VM {vm} while it was restored; its restored volumes are under {claims}, create it anew"
    failure = Failure(reason=Reason.VM_NOT_FOUND.value, message=message)
    return look.ends(Finished(), "Stalled", "Failed", Reason.VM_NOT_FOUND, message, failure=failure)
