"""The capture: one VirtualMachineSnapshot, and what it proves about consistency, before a byte is moved."""

from datetime import timedelta

from safehold.plan.backup.acceptance import accept, keep_machine, label_backup
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.consistency import reached
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.backup.fallback import begin_fallback, follow_fallback
from safehold.plan.backup.freezing import obstacle
from safehold.plan.backup.hooks import after_cut, before_cut, hooks_succeeded
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import TakeSnapshot, Thaw
from safehold.plan.backup.trust import refuse_swapped
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

THAW_LIMIT = timedelta(minutes=5)
"""How long a guest that stays frozen is asked to thaw before the run goes on without: its agent does not answer."""
THAW_GRACE = timedelta(seconds=10)
"""After KubeVirt's own deadline; later than that it has forgotten the guest."""


def capture(run: Run) -> Decision:
    """Take the snapshot, wait until it can be read, and judge it."""
    machine = run.facts.machine
    if machine is None or machine.uid != run.status.vm_uid or machine.deleting:
        message = "the VirtualMachine was deleted before its snapshot could be read; nothing was backed up"
        return run.fails(Refusal(Reason.VM_NOT_FOUND, message))
    if run.status.fallback is not None:
        return follow_fallback(run, machine, run.status.fallback)
    snapshot = run.facts.snapshot
    if snapshot is None:
        return _take(run, machine)
    if refusal := _refuse_identity(run, snapshot):
        return run.fails(refusal, snapshot_uid=snapshot.uid)
    if snapshot.failure is not None:
        return _fail(run, snapshot, machine)
    if refusal := _refuse_snapshot(run, snapshot):
        return run.fails(refusal, snapshot_uid=snapshot.uid)
    if snapshot.succeeded and (hook := after_cut(run, snapshot_uid=snapshot.uid)):
        return hook
    if machine.frozen and _is_forgotten(run, snapshot):
        return _thaw(run, machine)
    if not run.facts.machine_captured:
        return run.goes_on("Snapshotting", "reads the VM's manifest", keep_machine(run))
    return _judge(run, snapshot, machine)


def _fail(run: Run, snapshot: SnapshotFacts, machine: MachineFacts) -> Decision:
    """KubeVirt gave up: fail, or cut the volumes ourselves once it has thawed the guest, as it does then."""
    said = snapshot.error or run.status.snapshot_error
    message = f"KubeVirt could not take the snapshot: {snapshot.failure}" + (f"; before that: {said}" if said else "")
    failure = Refusal(Reason.SNAPSHOT_FAILED, message[:1024])
    if not run.backup.spec.consistency.falls_back:
        return run.fails(failure, snapshot_uid=snapshot.uid)
    if machine.frozen and _is_forgotten(run, snapshot):
        return _thaw(run, machine)
    if machine.frozen and run.since(snapshot.created) < run.freeze_limit + THAW_LIMIT:
        return run.waits("Snapshotting", "waits for KubeVirt to thaw the guest")
    return begin_fallback(run, machine, failure)


def _thaw(run: Run, machine: MachineFacts) -> Decision:
    """Recorded before it is done: a guest that we had to thaw is no better than Crash-consistent."""
    thaw = Thaw(namespace=run.namespace, vm=machine.name)
    message = "thaws the guest, which KubeVirt left frozen"
    return run.goes_on("Snapshotting", message, thaw, again=5.0, thaw_time=run.status.thaw_time or run.now)


def _is_forgotten(run: Run, snapshot: SnapshotFacts) -> bool:
    """Whether KubeVirt had its time to thaw: a thaw before that spoils the cut, and long after it the agent is dead."""
    late = run.since(snapshot.created) - run.freeze_limit
    return THAW_GRACE < late < THAW_LIMIT


def _take(run: Run, machine: MachineFacts) -> Decision:
    if run.status.snapshot_uid:
        message = "the VirtualMachineSnapshot was deleted by somebody before it could be read; back the VM up again"
        return run.fails(Refusal(Reason.SNAPSHOT_FAILED, message))
    if hindrance := obstacle(machine):
        return _wait_for(run, hindrance)
    if not run.facts.may_freeze:
        message = "waits until fewer guests are frozen for this target at once, as its maxFrozenVMs says"
        return run.waits("Snapshotting", message)
    if hook := before_cut(run):
        return hook
    take = TakeSnapshot(
        namespace=run.namespace,
        name=run.status.snapshot_name or "",
        vm=run.backup.spec.vm.name,
        deadline_seconds=int(run.freeze_limit.total_seconds()),
        labels=run.labels,
    )
    # The manifest is read right before the cut; a later look compares it with what KubeVirt captured.
    return run.goes_on("Snapshotting", "takes the snapshot", label_backup(run), keep_machine(run), take)


def _wait_for(run: Run, hindrance: str) -> Decision:
    if run.since(run.status.start_time) > run.rules.prepare_timeout:
        return run.fails(Refusal(Reason.TIMED_OUT, f"waited in vain for {hindrance}"))
    return run.waits("Snapshotting", f"waits for {hindrance}")


def _refuse_identity(run: Run, snapshot: SnapshotFacts) -> Refusal | None:
    created = run.backup.metadata.creation_timestamp
    known = run.status.snapshot_uid
    if snapshot.vm != run.backup.spec.vm.name or (known and known != snapshot.uid):
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, f"VirtualMachineSnapshot {snapshot.name} is not the run's own")
    if created and snapshot.created < created:
        message = f"VirtualMachineSnapshot {snapshot.name} is older than the VMBackup; delete it and back up again"
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, message)
    return None


def _refuse_snapshot(run: Run, snapshot: SnapshotFacts) -> Refusal | None:
    if snapshot.deleting:
        return Refusal(Reason.SNAPSHOT_FAILED, "the VirtualMachineSnapshot was deleted by somebody")
    age = run.since(snapshot.created)
    # KubeVirt ends every snapshot at its deadline; twice that means that nobody works on it.
    if not snapshot.succeeded and age > 2 * run.freeze_limit + THAW_GRACE:
        return Refusal(Reason.SNAPSHOT_FAILED, f"KubeVirt did not finish the snapshot: {snapshot.error or 'no answer'}")
    if not snapshot.ready and age > run.rules.prepare_timeout:
        message = f"the snapshot did not become readable: {snapshot.error or 'the CSI driver says nothing'}"
        return Refusal(Reason.TIMED_OUT, message)
    return None


def _judge(run: Run, snapshot: SnapshotFacts, machine: MachineFacts) -> Decision:
    if refusal := snapshot.capture and refuse_swapped(snapshot.capture, cut=snapshot.succeeded):
        return run.fails(refusal, snapshot_uid=snapshot.uid)
    if not (snapshot.succeeded and snapshot.ready and snapshot.capture):
        message = f"waits for the snapshot: {snapshot.error}" if snapshot.error else "waits for the snapshot"
        # KubeVirt forgets its error when it gives up, and people want to know it then.
        error = snapshot.error or run.status.snapshot_error
        return run.waits("Snapshotting", message, snapshot_uid=snapshot.uid, snapshot_error=error)
    cut = snapshot.capture.cut_time or snapshot.created
    found = reached(
        snapshot,
        run.facts.freeze,
        crashed=machine.crashed,
        thawed=run.status.thaw_time is not None,
        hooks_succeeded=hooks_succeeded(run.status.hooks),
    )
    return accept(run, snapshot.capture, machine, found, snapshot_uid=snapshot.uid, capture_time=cut)
