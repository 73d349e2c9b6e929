"""The capture: one VirtualMachineSnapshot, and what it proves about consistency, before a byte is moved."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from safehold.api.base import Condition
from safehold.api.vmbackup import ReachedConsistency
from safehold.plan.backup.consistency import PARTIAL, judge_demand, reached
from safehold.plan.backup.facts import CaptureFacts, MachineFacts, SnapshotFacts
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import CaptureMachine, TakeSnapshot, Thaw
from safehold.plan.backup.trust import refuse_capture, refuse_swapped
from safehold.plan.conditions import CONSISTENT, set_condition
from safehold.plan.names import machine_secret_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

THAW_LIMIT = timedelta(minutes=5)
"""How long a guest that stays frozen is asked to thaw before the run goes on without: its agent does not answer."""
THAW_GRACE = timedelta(seconds=10)
"""After KubeVirt's own deadline; later than that it has forgotten the guest."""
MACHINE_LIMIT_BYTES = 900_000
"""A Secret holds 1 MiB, of which run, key and credentials need their part."""


def capture(run: Run) -> Decision:
    """Take the snapshot, wait until it can be read, and judge it."""
    machine = run.facts.machine
    if machine is None or machine.uid != run.status.vm_uid:
        return run.fails(Refusal(Reason.VM_NOT_FOUND, "the VirtualMachine was deleted before its snapshot was taken"))
    if run.facts.snapshot is None:
        return _take(run, machine)
    if refusal := _refuse_snapshot(run, run.facts.snapshot):
        return run.fails(refusal, snapshot_uid=run.facts.snapshot.uid)
    if machine.frozen and _is_forgotten(run, run.facts.snapshot):
        return _thaw(run, machine)
    if not run.facts.machine_captured:
        return run.goes_on("Snapshotting", "reads the VM's manifest", capture_machine(run))
    return _judge(run, run.facts.snapshot, machine)


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
    if obstacle := _obstacle(machine):
        return _wait_for(run, obstacle)
    take = TakeSnapshot(
        namespace=run.namespace,
        name=run.status.snapshot_name or "",
        vm=run.backup.spec.vm.name,
        deadline_seconds=int(run.freeze_limit.total_seconds()),
        labels=run.labels,
    )
    # The manifest is read right before the cut; a later look compares it with what KubeVirt captured.
    return run.goes_on("Snapshotting", "takes the snapshot", capture_machine(run), take)


def _obstacle(machine: MachineFacts) -> str | None:
    """What would use up KubeVirt's time for the snapshot, which counts from its creation."""
    if machine.snapshot_in_progress:
        return f"VirtualMachineSnapshot {machine.snapshot_in_progress} of the VM, which is in progress"
    if machine.migrating:
        return "the VM's live migration: KubeVirt freezes no guest meanwhile"
    return None


def _wait_for(run: Run, obstacle: str) -> Decision:
    if run.since(run.status.start_time) > run.rules.prepare_timeout:
        return run.fails(Refusal(Reason.TIMED_OUT, f"waited in vain for {obstacle}"))
    return run.waits("Snapshotting", f"waits for {obstacle}")


def capture_machine(run: Run) -> CaptureMachine:
    """Read the VM's manifest and all that it depends on, now."""
    secret = machine_secret_name(run.backup.metadata.name, run.uid)
    return CaptureMachine(namespace=run.namespace, vm=run.backup.spec.vm.name, secret=secret, labels=run.labels)


def _refuse_snapshot(run: Run, snapshot: SnapshotFacts) -> Refusal | None:
    created = run.backup.metadata.creation_timestamp
    known = run.status.snapshot_uid
    if snapshot.vm != run.backup.spec.vm.name or (known and known != snapshot.uid):
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, f"VirtualMachineSnapshot {snapshot.name} is not the run's own")
    if created and snapshot.created < created:
        message = f"VirtualMachineSnapshot {snapshot.name} is older than the VMBackup; delete it and back up again"
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, message)
    if snapshot.failure is not None:
        message = f"KubeVirt could not take the snapshot: {snapshot.failure}"
        return Refusal(Reason.SNAPSHOT_FAILED, f"{message} {snapshot.error}".strip()[:1024])
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


def refuse_machine(run: Run, machine: MachineFacts) -> Refusal | None:
    """What no capture of the VM could hold."""
    if refusal := refuse_unsaved(machine):
        return refusal
    if run.facts.machine_bytes <= MACHINE_LIMIT_BYTES:
        return None
    message = (
        f"the VM's manifest and all that it depends on are {run.facts.machine_bytes} bytes, more than the "
        f"{MACHINE_LIMIT_BYTES} that a run can carry; take large Secrets or ConfigMaps out of the VM's volumes"
    )
    return Refusal(Reason.INVALID_SPEC, message)


def refuse_unsaved(machine: MachineFacts) -> Refusal | None:
    """KubeVirt snapshots the volumes of the VM's spec, and says nothing about others that its instance has."""
    if not machine.unsaved_disks:
        return None
    names = ", ".join(machine.unsaved_disks)
    message = (
        f"only the running instance of VirtualMachine {machine.name} has volume {names}, so no snapshot would hold it: "
        "add it to the VM as well (virtctl addvolume --persist), or unplug it"
    )
    return Refusal(Reason.NOT_SNAPSHOTTABLE, message[:1024])


def _judge(run: Run, snapshot: SnapshotFacts, machine: MachineFacts) -> Decision:
    if refusal := snapshot.capture and refuse_swapped(snapshot.capture, cut=snapshot.succeeded):
        return run.fails(refusal, snapshot_uid=snapshot.uid)
    if not (snapshot.succeeded and snapshot.ready and snapshot.capture):
        message = f"waits for the snapshot: {snapshot.error}" if snapshot.error else "waits for the snapshot"
        return run.waits("Snapshotting", message, snapshot_uid=snapshot.uid)
    cut = snapshot.capture.cut_time or snapshot.created
    found = reached(snapshot, run.facts.freeze, crashed=machine.crashed, thawed=run.status.thaw_time is not None)
    return accept(run, snapshot.capture, machine, found, snapshot_uid=snapshot.uid, capture_time=cut)


def accept(
    run: Run, captured: CaptureFacts, machine: MachineFacts, found: ReachedConsistency, **observed: Any
) -> Decision:
    """Go on with a capture that was cut, unless it is less than the VM, or less consistent than was demanded."""
    demand = judge_demand(found, run.backup.spec.consistency)
    observed = {**observed, "consistency": found}
    if PARTIAL in found.indications:
        message = "KubeVirt left a volume out of the snapshot (PartialSnapshot); nothing was backed up"
        return run.fails(Refusal(Reason.SNAPSHOT_FAILED, message), **observed)
    if demand and not run.backup.spec.consistency.falls_back:
        return run.fails(demand, **observed)
    if refusal := refuse_capture(captured, machine, run.status.vm_uid or "") or refuse_machine(run, machine):
        return run.fails(refusal, **observed)
    going = run.goes_on("Preparing", "makes the snapshot readable for the worker", **observed)
    return _tell(run, going, found, demand)


def _tell(run: Run, going: Decision, found: ReachedConsistency, demand: Refusal | None) -> Decision:
    """Say in a condition of its own whether what was demanded was reached: a weaker point is a point all the same."""
    condition = Condition(
        type=CONSISTENT,
        status="False" if demand else "True",
        observed_generation=run.backup.metadata.generation,
        last_transition_time=run.now,
        reason=demand.reason if demand else Reason.SUCCEEDED,
        message=demand.message if demand else f"{found.reached}: {found.reason}",
    )
    conditions = set_condition(going.status.conditions, condition)
    return replace(going, status=going.status.model_copy(update={"conditions": conditions}))
