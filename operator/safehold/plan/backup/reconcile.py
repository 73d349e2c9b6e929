"""The next step of a VMBackup, from its status, what is in the cluster, and the time.

| phase | until |
|---|---|
| Pending | target, VM and disks fit, and a slot is free |
| Snapshotting | KubeVirt's snapshot (`capture`), or its own backup (`pull`), can be read |
| Preparing | the worker has claims of its own, made from the same snapshots (`holds`) |
| Transferring | the worker reports (`worker`) |
| CleaningUp | nothing of the run is left in the cluster (`ending`) |
| Completed, Failed | for ever: a VMBackup is one run |
"""

from datetime import datetime

from safehold.api.base import Failure
from safehold.api.vmbackup import BackupTargetIdentity, VMBackup, VMBackupStatus
from safehold.plan.backup.acceptance import refuse_unsaved
from safehold.plan.backup.capture import capture
from safehold.plan.backup.ending import clean_up, let_go
from safehold.plan.backup.facts import BackupFacts, MachineFacts
from safehold.plan.backup.group.capture import without_group
from safehold.plan.backup.group.steps import CutGroup
from safehold.plan.backup.holds import prepare
from safehold.plan.backup.hooks import planned
from safehold.plan.backup.pull.capture import capture_by_pull, give_up_pull
from safehold.plan.backup.pull.choice import first_choice, pulls, refuse_alone, refuse_pull, wants_pull, without_pull
from safehold.plan.backup.pull.steps import StartPull
from safehold.plan.backup.pull.worker import prepare_pull
from safehold.plan.backup.run import BackupRules, Decision, Run
from safehold.plan.backup.stages import stage_of
from safehold.plan.backup.steps import Step
from safehold.plan.backup.turn import wait_for_turn
from safehold.plan.job import refuse_lost_node
from safehold.plan.machine_state import STATE_PREFIX, STATE_VOLUME
from safehold.plan.names import snapshot_name
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import TargetFacts, refuse_writing
from safehold.reasons import Reason


def next_step(backup: VMBackup, facts: BackupFacts, rules: BackupRules, now: datetime) -> Decision:
    """Decide. Deciding twice on the same facts gives the same decision."""
    run = Run(backup=backup, facts=facts, rules=rules, now=now)
    stage = stage_of(backup)
    if stage == "Finished":
        return let_go(run) if run.deleting else Decision(status=run.status, again=None)
    if stage == "Ending":
        return clean_up(run)
    if (run.deleting or facts.namespace_ending) and facts.job and facts.job.outcome == "Complete":
        # The worker was quicker: its point is there, and is told or forgotten like any other.
        return _prepare(run)
    if run.deleting:
        return run.fails(_cancelled(run))
    if facts.namespace_ending:
        return run.fails(Refusal(Reason.CANCELLED, f"namespace {run.namespace} is being deleted"))
    if stage == "Beginning":
        return _begin(run)
    return _capture(run) if stage == "Capturing" else _prepare(run)


def _capture(run: Run) -> Decision:
    if pulls(run.backup):
        return capture_by_pull(run)
    return give_up_pull(run) or capture(run)


def _prepare(run: Run) -> Decision:
    return prepare_pull(run) if pulls(run.backup) else prepare(run)


def _cancelled(run: Run) -> Refusal:
    message = "the VMBackup was deleted while its run was active"
    if run.facts.job is not None and run.backup.spec.deletion_policy == "Retain":
        message += "; what its worker commits before it stops stays in the target"
    return Refusal(Reason.CANCELLED, message)


def after_refused_step(backup: VMBackup, status: VMBackupStatus, step: Step, refusal: Refusal) -> VMBackupStatus:
    """The status once the cluster has refused a step for good, such as by a quota: the run does without it, or fails.

    `status` is what was decided together with the step.
    """
    if isinstance(step, CutGroup):
        return without_group(status, refusal.message)
    if isinstance(step, StartPull):
        snapshot = snapshot_name(backup.metadata.name, backup.metadata.uid)
        instead = without_pull(status, backup.spec, refusal.message, snapshot)
        if not isinstance(instead, Refusal):
            return instead
        refusal = instead
    failure = Failure(reason=refusal.reason.value, message=refusal.message[:1024])
    return status.model_copy(update={"failure": failure})


def needs_slot(backup: VMBackup, facts: BackupFacts, now: datetime) -> bool:
    """Whether a slot is of use to the run now.

    One that waits for its target, or for a node that may never come back, must not keep others from theirs.
    """
    stage = stage_of(backup)
    if stage == "Ending" and refuse_lost_node(facts.leftovers.pods, now):
        return False
    if stage != "Beginning":
        return stage != "Finished"
    going = backup.metadata.deletion_timestamp is not None or facts.namespace_ending
    return not going and _refusal(backup, facts) is None


def _begin(run: Run) -> Decision:
    facts = run.facts
    refusal = _refusal(run.backup, facts)
    if refusal is not None:
        # Not from its creation: it may have waited for its turn for hours, and nobody looked at the target then.
        since = run.status.not_ready_since or run.now
        if refusal.reason in _MAY_PASS and run.since(since) < run.rules.prepare_timeout:
            return run.goes_on("Pending", refusal.message, reason=refusal.reason, again=5.0, not_ready_since=since)
        return run.fails(refusal)
    if not facts.slot:
        return wait_for_turn(run)
    assert isinstance(facts.target, TargetFacts)
    assert facts.machine is not None
    pull = first_choice(run.backup, facts, facts.target.repository_id)
    by_pull = pull is not None and pull.refusal is None
    return run.goes_on(
        "Snapshotting",
        f"{'asks KubeVirt for a backup' if by_pull else 'takes a snapshot'} of VirtualMachine {facts.machine.name}",
        start_time=run.now,
        not_ready_since=None,
        vm_uid=facts.machine.uid,
        node_name=facts.machine.node or None,
        namespace_uid=facts.namespace_uid,
        cluster_id=run.rules.cluster_id,
        target=BackupTargetIdentity(
            kind=run.backup.spec.target_ref.kind,
            name=facts.target.name,
            uid=facts.target.uid,
            repository_id=facts.target.repository_id,
        ),
        snapshot_name=None if by_pull else snapshot_name(run.backup.metadata.name, run.uid),
        pull=pull,
        hooks=planned(run.backup.spec.hooks),
        excluded_volumes=list(facts.machine.excluded),
    )


_MAY_PASS = frozenset({Reason.TARGET_NOT_READY, Reason.WAITING})


def _refusal(backup: VMBackup, facts: BackupFacts) -> Refusal | None:
    if isinstance(facts.target, Refusal):
        return facts.target
    if refusal := refuse_writing(facts.target) or facts.secrets:
        return refusal
    if facts.machine is None or facts.machine.deleting:
        name, namespace = backup.spec.vm.name, backup.metadata.namespace
        what = "is being deleted" if facts.machine else "does not exist"
        message = f"VirtualMachine {name} {what} in namespace {namespace}; correct spec.vm.name"
        return Refusal(Reason.VM_NOT_FOUND, message)
    if wants_pull(backup.spec):
        why = refuse_pull(backup.spec, facts)
        if why is None:
            return refuse_unsaved(facts.machine) or _refuse_machine(facts.machine)
        if refusal := refuse_alone(backup.spec, why):
            return refusal
    return refuse_unsaved(facts.machine) or _refuse_machine(facts.machine) or _refuse_disks(facts.machine)


def _refuse_machine(machine: MachineFacts) -> Refusal | None:
    """A VM is captured whole or not at all."""
    known = {disk.name for disk in machine.disks} | {volume.name for volume in machine.excluded}
    if machine.own_state and machine.running and STATE_VOLUME not in known:
        message = (
            f"VirtualMachine {machine.name} runs with persistent {' and '.join(machine.own_state)} state, but no claim "
            f"has KubeVirt's label {STATE_PREFIX}={machine.name}; nothing was backed up, since the VM would not start "
            "from its disks alone as before"
        )
        return Refusal(Reason.NOT_SNAPSHOTTABLE, message)
    if not machine.disks:
        others = " but those that are left out (spec.volumes, or the VM's annotation)" if machine.excluded else ""
        message = f"VirtualMachine {machine.name} has no volume that outlives it{others}; there is nothing to back up"
        return Refusal(Reason.NOT_SNAPSHOTTABLE, message)
    return None


def _refuse_disks(machine: MachineFacts) -> Refusal | None:
    """Every disk must be one that KubeVirt can snapshot."""
    unable = [disk for disk in machine.disks if disk.claim is None or disk.snapshottable is False]
    if unable:
        what = "; ".join(f"{disk.name}: {disk.reason or 'not a claim of a CSI driver'}" for disk in unable)
        message = (
            f"these volumes cannot be snapshotted: {what}. Give their StorageClass a VolumeSnapshotClass, or leave "
            "them out with spec.volumes.exclude"
        )
        return Refusal(Reason.NOT_SNAPSHOTTABLE, message[:1024])
    if undecided := [disk.name for disk in machine.disks if disk.snapshottable is None]:
        message = f"KubeVirt has not said yet whether it can snapshot volume {', '.join(undecided)}"
        return Refusal(Reason.WAITING, message)
    return None
