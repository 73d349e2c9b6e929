"""Whether a capture that was cut becomes a restore point: it must be the whole VM, and as consistent as demanded."""

from dataclasses import replace
from typing import Any

from safehold.api.base import Condition
from safehold.api.vmbackup import ReachedConsistency
from safehold.plan.backup.capture_facts import CaptureFacts
from safehold.plan.backup.consistency import judge_demand
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import CaptureMachine, LabelBackup
from safehold.plan.backup.trust import refuse_capture
from safehold.plan.conditions import CONSISTENT, set_condition
from safehold.plan.names import machine_secret_name, vm_label
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

MACHINE_LIMIT_BYTES = 900_000
"""A Secret holds 1 MiB, of which run, key and credentials need their part."""


def keep_machine(run: Run) -> CaptureMachine:
    """Read the manifest; right before a cut, so that a later look can compare it with what was cut."""
    secret = machine_secret_name(run.backup.metadata.name, run.uid)
    return CaptureMachine(namespace=run.namespace, vm=run.backup.spec.vm.name, secret=secret, labels=run.labels)


def label_backup(run: Run) -> LabelBackup:
    """Let later runs of the VM find this one, and what it has verified."""
    return LabelBackup(namespace=run.namespace, name=run.backup.metadata.name, labels=vm_label(run.backup.spec.vm.name))


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


def accept(
    run: Run, captured: CaptureFacts, machine: MachineFacts, found: ReachedConsistency, **observed: Any
) -> Decision:
    """Go on with a capture that was cut, unless it is less than the VM, or less consistent than was demanded."""
    demand = judge_demand(found, run.backup.spec.consistency)
    observed = {**observed, "consistency": found}
    if refusal := refuse_unsaved(machine) or refuse_capture(captured, machine, run.status.vm_uid or ""):
        return run.fails(refusal, **observed)
    if demand and not run.backup.spec.consistency.falls_back:
        return run.fails(demand, **observed)
    if run.facts.machine_bytes > MACHINE_LIMIT_BYTES:
        message = (
            f"the VM's manifest and all that it depends on are {run.facts.machine_bytes} bytes, more than the "
            f"{MACHINE_LIMIT_BYTES} that a run can carry; take large Secrets or ConfigMaps out of the VM's volumes"
        )
        return run.fails(Refusal(Reason.INVALID_SPEC, message), **observed)
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
