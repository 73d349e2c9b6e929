"""A new VM: its dependencies, then the VM itself, halted, out of what the worker recalled."""

from collections.abc import Mapping, Sequence
from typing import Any

from safehold.api.restored_volumes import VolumeRestore
from safehold.api.vmrestore import RestoredVM
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import Answer, VMFacts
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.machine.manifest import Machine, NewMachine, key, rebuild
from safehold.plan.restore.machine.mappings import networks_of
from safehold.plan.restore.machine.overwriting import foreign, overwrite
from safehold.plan.restore.steps import CreateObject, OwnClaim, OwnObject, Record
from safehold.plan.restore.volumes.selection import left_out
from safehold.reasons import Reason

PHASE = "Rebuilding"


def read_machine(look: Look) -> Machine | Refusal:
    """What will be created, judged before a volume leaves the operator's namespace."""
    objects = look.seen.objects
    if isinstance(objects, Refusal):
        return objects
    if objects is None:
        message = "the VM's manifest can no longer be recalled, since its Job was deleted; restore again"
        return Refusal(Reason.JOB_FAILED, message)
    name = look.status.vm.name if look.status.vm else look.point.vm.name
    return rebuild(objects, _wanted(look, name, look.status.volumes))


def foresee_machine(look: Look, name: str, volumes: Sequence[VolumeRestore]) -> Machine | Refusal | None:
    """What will be created, judged before anything is written; None where the manifest is not known yet."""
    answer = look.seen.inquiry.answer
    return rebuild(answer.objects, _wanted(look, name, volumes)) if isinstance(answer, Answer) else None


def _wanted(look: Look, name: str, volumes: Sequence[VolumeRestore]) -> NewMachine:
    point, spec = look.point, look.restore.spec
    return NewMachine(
        namespace=look.seen.namespace.name,
        vm=name,
        source_namespace=point.vm.namespace,
        source_vm=point.vm.name,
        restore_uid=look.uid,
        claims={record.name: record.claim_name for record in volumes if record.role == "Disk"},
        keeps_templates=spec.target.claim_names == "AsBackedUp",
        has_state=any(record.role == "State" for record in volumes),
        left_out=left_out(look.restore, point),
        networks=networks_of(look.restore, point.vm.namespace),
        identity=spec.identity,
        labels=spec.labels or {},
        patches=spec.patches or (),
    )


def rebuild_vm(look: Look) -> Decision | None:
    """Until the VM is there, halted, with everything that it needs. Its uid in the record says that this is done."""
    vm = look.status.vm
    if look.in_place or vm is None or vm.uid is not None:
        return None
    machine = read_machine(look)
    if isinstance(machine, Refusal):
        return look.fails(machine)
    needed = [" ".join(key(manifest)) for manifest in machine.dependencies]
    if look.status.needed_objects != needed:
        return look.goes_on(Record(), PHASE, f"rebuilds VM {vm.name}", needed_objects=needed)
    if step := _next_dependency(look, machine):
        return step
    if look.seen.vm is None:
        return look.goes_on(CreateObject(machine.vm), PHASE, f"creates VM {vm.name}")
    if look.seen.vm.restored_by != look.uid:
        message = f"somebody created VM {vm.name} while it was being restored; restore under another name"
        return look.fails(Refusal(Reason.VM_EXISTS, message))
    if owning := _next_owned(look, machine, look.seen.vm):
        return look.goes_on(owning, PHASE, f"gives VM {vm.name} what goes with it")
    return look.goes_on(
        Record(),
        PHASE,
        f"VM {vm.name} is rebuilt",
        vm=RestoredVM(name=vm.name, uid=look.seen.vm.uid, original_run_strategy=machine.run_strategy),
        kept_objects=[" ".join(key(manifest)) for manifest in foreign(look, machine)],
        missing_objects=list(look.seen.missing),
    )


def _next_dependency(look: Look, machine: Machine) -> Decision | None:
    if replacing := overwrite(look, machine):
        return replacing
    for manifest in machine.dependencies:
        if key(manifest) not in look.seen.existing:
            kind, name = key(manifest)
            return look.goes_on(CreateObject(manifest), PHASE, f"creates {kind} {name}")
    return None


def _next_owned(look: Look, machine: Machine, vm: VMFacts) -> OwnObject | OwnClaim | None:
    """The next revision or state without an owner."""
    name = look.place.vm
    for manifest in machine.dependencies:
        if _needs_owner(look, manifest):
            return OwnObject(str(manifest["apiVersion"]), *key(manifest), vm=name, vm_uid=vm.uid)
    for record in look.status.volumes:
        claim = look.volume(record).claim
        if record.role == "State" and claim is not None and not claim.owners:
            return OwnClaim(claim.ref, vm=name, vm_uid=vm.uid)
    return None


def _needs_owner(look: Look, manifest: Mapping[str, Any]) -> bool:
    """A revision lives as long as its VM, as KubeVirt has it; Secrets and ConfigMaps may serve others as well."""
    existing = look.seen.existing[key(manifest)]
    return manifest["kind"] == "ControllerRevision" and not existing["metadata"].get("ownerReferences")
