"""How a run ends: nothing of it stays in the cluster, the guest is thawed, and a deleted VMBackup may go."""

from dataclasses import replace
from datetime import timedelta

from safehold.api.base import Condition
from safehold.api.vmbackup import VMBackup
from safehold.plan.backup.bases import drop_old, is_being_kept, keep_steps, kept_pairs
from safehold.plan.backup.capture import THAW_LIMIT
from safehold.plan.backup.capture_facts import ContentFacts
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.facts import Leftovers
from safehold.plan.backup.hooks import HookTurn, take_turn
from safehold.plan.backup.pull.ending import commit_checkpoint
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import Delete, StartForget, Step, Thaw
from safehold.plan.conditions import CONSISTENT, STALLED
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.names import job_name
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import refuse_repository, refuse_writing
from safehold.plan.tenancy import owner_of
from safehold.reasons import Reason
from safehold.run import ForgetRun

_CLEANUP_POLL_SECONDS = 1.0
"""Claims and snapshots go without telling; the setting for active runs may ask for them more often."""
SNAPSHOT_PATIENCE = timedelta(minutes=10)
"""How long a run waits for its VirtualMachineSnapshot to go, which takes KubeVirt seconds."""
FORGET_RETRY = timedelta(minutes=5)


def clean_up(run: Run) -> Decision:
    """Run the hooks that are still owed, and take away what the run made, in the proven order; then end it."""
    # In a namespace that ends there is nobody to run a command for.
    turn = None if run.facts.namespace_ending else take_turn(run, "Post")
    return _with_hooks(_clean_up(run, turn), turn)


def _with_hooks(decision: Decision, turn: HookTurn | None) -> Decision:
    if turn is None:
        return decision
    status = decision.status.model_copy(update={"hooks": turn.results})
    return replace(decision, status=status, steps=(*turn.steps, *decision.steps))


def _clean_up(run: Run, turn: HookTurn | None) -> Decision:
    if commit := commit_checkpoint(run):
        message = "records for the next run what the restore point holds"
        return run.goes_on("CleaningUp", message, commit, reason=_reason(run))
    found, kept = run.facts.leftovers, kept_pairs(run, SNAPSHOT_PATIENCE)
    steps: tuple[Step, ...] = cleanup(found, kept)
    if not (found.jobs or found.pods or found.clones):
        steps += keep_steps(run, kept)
    if not steps and not is_being_kept(found, kept):
        steps = drop_old(run)
    if steps or found.pods or is_being_kept(found, kept) or _ending_snapshots(run):
        lost = refuse_lost_node(run.facts.leftovers.pods, run.now)
        message = f"{_outcome(run)} (still there: {lost.message if lost else _remaining(run.facts.leftovers)})"
        going = run.goes_on("CleaningUp", message, *steps, reason=_reason(run), again=_pause(run))
        if not (run.deleting and run.facts.namespace_ending):
            return going
        # Nothing may hold up a namespace that ends; what is still to do, the sweep finds by its labels.
        return Decision(status=run.status, steps=steps, again=_pause(run), released=True)
    if thaw := _thaw(run):
        return run.goes_on("CleaningUp", "thaws the guest", thaw, reason=_reason(run), again=_pause(run))
    if turn:
        return run.goes_on("CleaningUp", turn.message, reason=_reason(run), again=_pause(run))
    return _end(run)


def _pause(run: Run) -> float:
    return min(_CLEANUP_POLL_SECONDS, run.rules.poll_seconds)


def wants_forgetting(backup: VMBackup) -> bool:
    """Whether a point goes with the object: also one that a worker may have committed though its run failed."""
    status = backup.status
    return backup.spec.deletion_policy == "Delete" and bool(status.restore_point or status.job_name)


def let_go(run: Run) -> Decision:
    """A finished VMBackup is being deleted: forget its restore point first, if that is asked for."""
    if run.backup.spec.hold and run.status.restore_point and not run.facts.namespace_ending:
        why = f" ({run.backup.spec.hold_reason})" if run.backup.spec.hold_reason else ""
        message = f"restore point {run.status.restore_point} is held{why}; set spec.hold to false to let this object go"
        return run.ends("Stalled", "Held", Reason.HELD, message)
    if not wants_forgetting(run.backup) or run.facts.namespace_ending:
        return Decision(status=run.status, again=None, released=True)
    job = run.facts.forget
    if job is None:
        return _start_forget(run)
    if job.deleting:
        return run.waits("Forgetting", "an earlier try to forget the restore point is being removed")
    if job.outcome is None and (lost := refuse_lost_node(job.pods, run.now)):
        return _retry_forget(run, job, lost)
    if job.outcome is None:
        return run.waits("Forgetting", f"the restore point is being forgotten {job.waiting_for}".rstrip())
    report = read_report(job, run_id=run.uid, verb="forget")
    if isinstance(report, Refusal) and report.reason is not Reason.POINT_NOT_FOUND:
        return _retry_forget(run, job, report)
    return Decision(status=run.status, steps=(Delete(kind="Job", name=job.name),), again=None, released=True)


def _start_forget(run: Run) -> Decision:
    target = run.facts.target
    if isinstance(target, Refusal):
        return _cannot_forget(run, target)
    status = run.status
    stored = status.target.repository_id if status.target else None
    if refusal := run.facts.secrets or refuse_writing(target) or refuse_repository(target, stored):
        return _cannot_forget(run, refusal)
    forget = ForgetRun(
        run_id=run.uid,
        repository=target.place,
        key_domain=target.key_domain(status.namespace_uid or ""),
        restore_point=status.restore_point,
        owner=owner_of(run.backup),
    )
    name = job_name("forget", run.backup.metadata.name, run.uid)
    start = StartForget(job=name, run=forget, target=target, labels=run.labels)
    return run.goes_on("Forgetting", "the restore point is being forgotten", start)


def _retry_forget(run: Run, job: JobFacts, refusal: Refusal) -> Decision:
    stalled = next((found for found in run.status.conditions if found.type == STALLED), None)
    if stalled and stalled.status == "True" and run.since(stalled.last_transition_time) >= FORGET_RETRY:
        return run.goes_on("Forgetting", "tries again to forget the restore point", Delete(kind="Job", name=job.name))
    return _cannot_forget(run, refusal)


def _cannot_forget(run: Run, refusal: Refusal) -> Decision:
    message = (
        f"the restore point cannot be forgotten yet: {refusal.message}; it is tried again every few minutes. "
        "Set spec.deletionPolicy to Retain to delete this object only"
    )
    ended = run.ends("Stalled", "Forgetting", refusal.reason, message)
    return Decision(status=ended.status, again=FORGET_RETRY.total_seconds())


def _ending_snapshots(run: Run) -> list[str]:
    """VirtualMachineSnapshots that KubeVirt still deletes; not those that others' finalizers hold for long."""
    found = run.facts.leftovers.vm_snapshots
    return [snapshot.name for snapshot in found if run.since(snapshot.deleted_at) < SNAPSHOT_PATIENCE]


def _outcome(run: Run) -> str:
    if run.status.failure:
        return run.status.failure.message
    return "the restore point is complete; removes snapshots and volumes of the run"


def _remaining(found: Leftovers) -> str:
    """What is being removed now. Others may hold it, such as a node that is away, so people must see its name."""
    stages = (
        ("Pod", [pod.name for pod in found.pods]),
        ("Job", found.jobs),
        ("VirtualMachineBackup", [backup.name for backup in found.pull_backups]),
        ("PersistentVolume", [volume.name for volume in found.retained_volumes]),
        ("PersistentVolumeClaim", [clone.name for clone in found.clones]),
        ("VolumeSnapshot", [snapshot.name for snapshot in found.pair_snapshots]),
        ("VolumeSnapshotContent", [content.name for content in (*found.pair_contents, *_held(found))]),
        ("VirtualMachineSnapshot", [snapshot.name for snapshot in found.vm_snapshots]),
        ("memory dump of VirtualMachine", [dump.vm for dump in found.memory_dumps]),
        ("VolumeSnapshot", [snapshot.name for snapshot in found.tenant_snapshots]),
        ("VolumeGroupSnapshot", [group.name for group in found.groups]),
        ("VolumeGroupSnapshotContent", [content.name for content in found.group_contents]),
        ("mark on PersistentVolumeClaim", [claim.name for claim in found.marked_claims]),
        ("PersistentVolumeClaim", [claim.name for claim in found.tenant_claims]),
        ("Secret", found.secrets),
        ("base of an earlier run", [base.name for base in found.old_bases]),
    )
    return next(f"{kind} {', '.join(names[:3])}" for kind, names in stages if names)


def _held(found: Leftovers) -> list[ContentFacts]:
    return [original.content for original in found.originals]


def _reason(run: Run) -> Reason:
    return Reason(run.status.failure.reason) if run.status.failure else Reason.RUNNING


def _thaw(run: Run) -> Thaw | None:
    """KubeVirt thaws when its snapshot goes. A guest that is still frozen then, is frozen by nobody who remembers."""
    machine, started = run.facts.machine, run.status.start_time
    if machine is None or started is None or not machine.frozen or machine.snapshot_in_progress:
        return None
    if run.since(started) > run.freeze_limit + THAW_LIMIT:
        return None
    return Thaw(namespace=run.namespace, vm=machine.name)


def _end(run: Run) -> Decision:
    done = {"completion_time": run.now, "handles": [], "progress": None}
    if run.status.failure:
        ended = run.ends("Stalled", "Failed", _reason(run), run.status.failure.message, **done)
    else:
        ended = run.ends("Ready", "Completed", Reason.SUCCEEDED, _success(run), **done)
    # No event follows for an object that is in deletion already, and its point may have to go with it.
    return replace(ended, again=0.0) if run.deleting else ended


def _success(run: Run) -> str:
    consistency = run.status.consistency
    level = consistency.reached if consistency else "Crash"
    weaker = next((f" ({found.message})" for found in run.status.conditions if _is_unmet(found)), "")
    without = ", ".join(volume.name for volume in run.status.excluded_volumes)
    whole = f"complete without the excluded {without}" if without else "complete"
    return f"restore point {run.status.restore_point} is {whole}, {level}-consistent{weaker}, and can be restored"


def _is_unmet(condition: Condition) -> bool:
    return condition.type == CONSISTENT and condition.status == "False"
