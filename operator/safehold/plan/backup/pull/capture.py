"""The capture by KubeVirt's own backup: ask for it, wait until it can be read, and judge what it is.

Whatever goes wrong before a byte is moved, a snapshot takes its place, with the reason in the status.
"""

from datetime import timedelta

from safehold.api.capture import PullCapture
from safehold.api.vmbackup import ReachedConsistency, ReachedLevel
from safehold.plan.backup.acceptance import accept, keep_machine, label_backup
from safehold.plan.backup.consistency import application_level
from safehold.plan.backup.facts import FreezeFacts, MachineFacts
from safehold.plan.backup.holds import volume_status
from safehold.plan.backup.hooks import after_cut, before_cut, hooks_succeeded, planned
from safehold.plan.backup.pull.base import base_of, full_reason
from safehold.plan.backup.pull.choice import refuse_pull, without_pull
from safehold.plan.backup.pull.facts import InstanceFacts, PullBackupFacts, PullFacts
from safehold.plan.backup.pull.steps import StartPull
from safehold.plan.backup.pull.volumes import served_capture
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import Delete
from safehold.plan.backup.trust import refuse_capture
from safehold.plan.names import snapshot_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

START_PATIENCE = timedelta(minutes=10)
"""How long KubeVirt may take to serve its backup. It gives up never: of a disk without a bitmap it tries for ever."""
_SCRATCH_SHARE, _SCRATCH_EXTRA_BYTES = 1.06, 256 << 20
"""A guest that overwrites everything meanwhile must find room, or its writes fail; the files themselves need some."""


def capture_by_pull(run: Run) -> Decision:
    """Everything up to a backup of KubeVirt's that the worker can read."""
    machine, facts = run.facts.machine, run.facts.pull
    if machine is None or machine.uid != run.status.vm_uid:
        return run.fails(Refusal(Reason.VM_NOT_FOUND, "the VirtualMachine was deleted before it was captured"))
    if why := refuse_pull(run.backup.spec, run.facts):
        return fall_back(run, why)
    assert facts is not None
    assert facts.instance is not None
    if facts.backup is None:
        return _ask(run, machine, facts, facts.instance)
    if why := _trouble(run, facts.backup, facts.instance):
        return fall_back(run, why)
    if not run.facts.machine_captured:
        return run.goes_on("Snapshotting", "reads the VM's manifest", keep_machine(run))
    if facts.backup.state == "Waiting":
        message = f"waits for KubeVirt's backup: {facts.backup.message}".rstrip(": ")
        return run.waits("Snapshotting", message, pull=_pull(run, uid=facts.backup.uid))
    if hook := after_cut(run, pull=_pull(run, uid=facts.backup.uid)):
        return hook
    return _judge(run, machine, facts, facts.backup)


def give_up_pull(run: Run) -> Decision | None:
    """Take KubeVirt's backup away before the snapshot that takes its place; None once it is gone."""
    backup = run.facts.pull.backup if run.facts.pull else None
    if backup is None or backup.owner_uid != run.uid:
        return None
    delete = Delete(kind="VirtualMachineBackup", name=backup.name, namespace=run.namespace, uid=backup.uid)
    return run.goes_on(
        "Snapshotting",
        "takes KubeVirt's own backup back",
        *(() if backup.deleting else (delete,)),
        again=run.rules.poll_seconds,
    )


def fall_back(run: Run, why: str) -> Decision:
    """Go on with a snapshot, or fail where no other engine is allowed."""
    instead = without_pull(run.status, run.backup.spec, why, snapshot_name(run.backup.metadata.name, run.uid))
    if isinstance(instead, Refusal):
        return run.fails(instead)
    # The snapshot is a cut of its own, and what is around it was undone after this one, or not yet done.
    hooks = planned(run.backup.spec.hooks)
    message = f"takes a snapshot of the VM instead of KubeVirt's own backup: {why}"
    return run.goes_on("Snapshotting", message, pull=instead.pull, snapshot_name=instead.snapshot_name, hooks=hooks)


def _ask(run: Run, machine: MachineFacts, facts: PullFacts, instance: InstanceFacts) -> Decision:
    if run.status.pull and run.status.pull.uid:
        return fall_back(run, "somebody deleted the VirtualMachineBackup before it could be read")
    if busy := _busy(machine, facts, instance):
        if run.since(run.status.start_time) > run.rules.prepare_timeout:
            return fall_back(run, busy)
        return run.waits("Snapshotting", f"waits: {busy}")
    if facts.tracker is not None and facts.tracker.vm != machine.name:
        return fall_back(run, f"VirtualMachineBackupTracker {facts.tracker.name} is of another VM; delete it")
    if hook := before_cut(run):
        return hook
    disks = [disk.name for disk in machine.disks]
    full = full_reason(facts.tracker, instance_uid=instance.uid, disks=disks)
    pull = _pull(run, instance_uid=instance.uid, full_reason=full)
    # The manifest is read right before the cut, as for a snapshot.
    steps = label_backup(run), keep_machine(run), _start(run, machine, pull, force_full=full is not None)
    return run.goes_on("Snapshotting", "asks KubeVirt for a backup of the running VM", *steps, pull=pull)


def _start(run: Run, machine: MachineFacts, pull: PullCapture, *, force_full: bool) -> StartPull:
    claims = run.facts.pull.claims if run.facts.pull else {}
    capacity = sum(claim.capacity_bytes for claim in claims.values())
    classes = sorted({claim.storage_class for claim in claims.values() if claim.storage_class})
    return StartPull(
        namespace=run.namespace,
        name=pull.name or "",
        vm=machine.name,
        vm_uid=machine.uid,
        tracker=pull.tracker or "",
        force_full=force_full,
        scratch_bytes=int(capacity * _SCRATCH_SHARE) + _SCRATCH_EXTRA_BYTES,
        scratch_storage_class=run.rules.scratch_storage_class or next(iter(classes), None),
        ttl_seconds=int(run.rules.pull_timeout.total_seconds()),
        watch_seconds=int(START_PATIENCE.total_seconds()),
        labels=run.labels,
    )


def _busy(machine: MachineFacts, facts: PullFacts, instance: InstanceFacts) -> str | None:
    """What else is at the VM. KubeVirt itself keeps neither two backups of one VM apart, nor backup and snapshot."""
    if facts.rivals:
        return f"VirtualMachineBackup {', '.join(facts.rivals)} of the same VM has not ended"
    if instance.backup_in_progress:
        return f"KubeVirt is at VirtualMachineBackup {instance.backup_in_progress} of the same VM"
    if machine.snapshot_in_progress:
        return f"VirtualMachineSnapshot {machine.snapshot_in_progress} of the same VM is in progress"
    if machine.migrating:
        return "the VM is migrating, and KubeVirt backs up no VM meanwhile"
    return None


def _trouble(run: Run, backup: PullBackupFacts, instance: InstanceFacts) -> str | None:
    pull = run.status.pull or PullCapture()
    if backup.owner_uid != run.uid or (pull.uid and pull.uid != backup.uid):
        return f"VirtualMachineBackup {backup.name} is not the run's own"
    if pull.instance_uid != instance.uid:
        return "the VM was restarted meanwhile"
    if backup.state == "Failed":
        return f"KubeVirt's backup failed: {backup.message}"
    if backup.deleting or backup.state == "Complete":
        return "KubeVirt's backup was ended before it was read"
    if backup.state == "Waiting" and run.since(backup.created) > START_PATIENCE:
        return f"KubeVirt did not begin: {backup.message or 'it says nothing'}"
    if backup.checkpoint and not backup.checkpoint.startswith(f"{backup.name}-"):
        return f"KubeVirt mixed it up with another backup: it has the checkpoint {backup.checkpoint}"
    return None


def _judge(run: Run, machine: MachineFacts, facts: PullFacts, backup: PullBackupFacts) -> Decision:
    if not backup.checkpoint:
        return fall_back(run, "KubeVirt names no checkpoint")
    captured = served_capture(machine, facts, backup)
    if refusal := refuse_capture(captured, machine, machine.uid):
        return fall_back(run, f"KubeVirt does not serve the VM's disks as they are: {refusal.message}")
    return accept(
        run,
        captured,
        machine,
        _consistency(backup, run.facts.freeze, hooks_succeeded(run.status.hooks)),
        capture_time=captured.cut_time,
        volumes=[volume_status(volume.name, volume.claim) for volume in captured.volumes if volume.claim],
        pull=_pull(run, uid=backup.uid, checkpoint=backup.checkpoint, base=base_of(backup, facts.tracker)),
    )


def _consistency(backup: PullBackupFacts, freeze: FreezeFacts | None, hooks: bool | None) -> ReachedConsistency:
    indications = [backup.quiesce_word] if backup.quiesce_word else []
    if not backup.quiesced:
        why = backup.quiesce_message or "KubeVirt does not say that the guest was frozen"
        return ReachedConsistency(reached="Crash", reason=why, indications=indications)
    level: ReachedLevel = "Filesystem"
    reason = "the guest agent froze the file systems while KubeVirt's backup began"
    if hooks is not None:
        level, reason = application_level(reason, hooks)
    return ReachedConsistency(
        reached=level,
        reason=reason,
        frozen_millis=freeze.millis if freeze else None,
        frozen_observation=freeze.observation if freeze else None,
        indications=indications,
    )


def _pull(run: Run, **changes: str | None) -> PullCapture:
    return (run.status.pull or PullCapture()).model_copy(update=changes)
