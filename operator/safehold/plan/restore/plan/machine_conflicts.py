"""What stands against the VM that a restore leads to: addresses, kinds, what it needs, and who else changes it."""

from collections.abc import Iterator, Mapping
from typing import Any

from safehold.api.restore_plan import PlanConflict, Severity
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Look
from safehold.plan.restore.machine.manifest import Machine, key
from safehold.plan.restore.machine.power import HALTED
from safehold.plan.restore.plan.ownership import tracker_of
from safehold.plan.restore.plan.storage_conflicts import conflict
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.reasons import Reason

_INSTANCE_KINDS = {
    "VirtualMachineInstancetype": "instancetype",
    "VirtualMachineClusterInstancetype": "instancetype",
    "VirtualMachinePreference": "preference",
    "VirtualMachineClusterPreference": "preference",
}
"""Kind → the field of a VM's spec that names one."""


def conflicts_in_place(look: Look, around: Surroundings) -> Iterator[PlanConflict]:
    """The VM keeps its definition: what matters is that it runs, who else changes it, and what it lacks."""
    vm, called = look.seen.vm, _called(look)
    if vm is not None and vm.is_active:
        message = f"VM {called} runs: it is stopped for the restore, and what it wrote since the capture is given up"
        yield conflict("Warns", Refusal(Reason.VM_RUNS, message))
    yield from _ownership(look, around)
    for kind, name in _missing(around, created=frozenset()):
        message = f"VM {called} names {kind} {name}, which does not exist: it does not start until it does"
        yield conflict("Warns", Refusal(Reason.DEPENDENCY_NOT_FOUND, message))


def conflicts_of_new(look: Look, around: Surroundings, machine: Machine) -> Iterator[PlanConflict]:
    """What keeps a new VM from being created, from starting, or from living beside others."""
    yield from _kinds(around, machine)
    yield from _addresses(look, around, machine)
    created = frozenset(key(manifest) for manifest in machine.dependencies)
    for kind, name in _missing(around, created=created):
        yield from _lack(look, machine, kind, name)


def addresses_of(vm: Mapping[str, Any]) -> set[str]:
    """The MAC addresses that a VM's (or an instance's) definition states, in lower case with colons."""
    spec = vm.get("spec") or {}
    instance = (spec.get("template") or {}).get("spec") or spec
    interfaces = ((instance.get("domain") or {}).get("devices") or {}).get("interfaces") or []
    return {str(each["macAddress"]).lower().replace("-", ":") for each in interfaces if each.get("macAddress")}


def _ownership(look: Look, around: Surroundings) -> Iterator[PlanConflict]:
    tool = tracker_of(around.vm_metadata)
    vm = look.seen.vm
    if tool and vm is not None and vm.run_strategy != HALTED:
        message = (
            f"VM {_called(look)} is kept by {tool} as Git has it, which may start it while it is being restored: it "
            f"then waits for its volumes; suspend {tool} meanwhile"
        )
        yield conflict("Warns", Refusal(Reason.GIT_OWNED, message))
    for record in look.status.volumes:
        live = look.seen.live_claims.get(record.claim_name)
        tool = tracker_of({"labels": live.labels, "annotations": live.annotations}) if live else None
        if tool:
            message = (
                f"claim {record.claim_name} is kept by {tool} as Git has it, which may create it empty while it is "
                f"being replaced: the restore then says so and waits; suspend {tool} meanwhile"
            )
            yield conflict("Warns", Refusal(Reason.GIT_OWNED, message))


def _kinds(around: Surroundings, machine: Machine) -> Iterator[PlanConflict]:
    wanted = {
        (str(manifest["apiVersion"]), str(manifest["kind"]))
        for manifest in (machine.vm, *machine.dependencies)
        if key(manifest) not in around.dependencies
    }
    for version, kind in sorted(wanted):
        if kind in around.served.get(version, ()):
            continue
        group = version.rpartition("/")[0]
        others = sorted(
            other for other, kinds in around.served.items() if other.rpartition("/")[0] == group and kind in kinds
        )
        if others:
            message = f"the restore point holds {kind} as {version}, which is not served any more, but {others[0]} is"
            yield conflict("Blocks", Refusal(Reason.VERSION_NOT_SERVED, f"{message}; recreate it by hand, Halted"))
        else:
            message = f"the restore point holds {kind} of {version}, which this cluster does not serve"
            yield conflict("Blocks", Refusal(Reason.NOT_INSTALLED, f"{message}; install what brings it"))


def _addresses(look: Look, around: Surroundings, machine: Machine) -> Iterator[PlanConflict]:
    starts = _strategy(look, machine) != HALTED
    for holder in around.addresses:
        message = (
            f"MAC address {holder.address} of the restored VM is that of {holder.namespace}/{holder.name}, which "
            f"{'runs' if holder.runs else 'does not run now'}; let it get another one, or restore it Halted"
        )
        severity: Severity = "Blocks" if starts and holder.runs else "Warns"
        yield conflict(severity, Refusal(Reason.ADDRESS_IN_USE, message))


def _strategy(look: Look, machine: Machine) -> str:
    asked = look.restore.spec.run_strategy or "AsBackedUp"
    return machine.run_strategy if asked == "AsBackedUp" else asked


def _lack(look: Look, machine: Machine, kind: str, name: str) -> Iterator[PlanConflict]:
    field = _INSTANCE_KINDS.get(kind)
    lacks = f"VM {_called(look)} names {kind} {name}, which is neither here nor in the restore point"
    if field is None:
        message = f"{lacks}: it does not start until you create it"
        yield conflict("Warns", Refusal(Reason.DEPENDENCY_NOT_FOUND, message))
    elif not (machine.vm["spec"].get(field) or {}).get("revisionName"):
        message = f"{lacks}, nor is the revision that the VM had: KubeVirt refuses such a VM; create it first"
        yield conflict("Blocks", Refusal(Reason.DEPENDENCY_NOT_FOUND, message))


def _missing(around: Surroundings, *, created: frozenset[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for named, exists in sorted(around.existing.items()):
        if not exists and named not in created:
            yield named


def _called(look: Look) -> str:
    return f"{look.seen.namespace.name}/{look.status.vm.name if look.status.vm else ''}"
