"""Everything that a restore creates, changes or deletes, by its admission: what its steps will do, told beforehand."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from safehold.api.restore_plan import PlannedChange, PlannedVolume
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.names import Verb, job_name, pair_name, replaced_objects_name, safety_snapshot_name
from safehold.plan.restore.facts import ObjectKey
from safehold.plan.restore.look import Look
from safehold.plan.restore.machine.manifest import Machine, key
from safehold.plan.restore.machine.overwriting import foreign
from safehold.plan.restore.machine.power import HALTED
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.plan.restore.point.inquiry import wants_manifest

CLAIM, VOLUME = "PersistentVolumeClaim", "PersistentVolume"


def changes_of(
    look: Look, around: Surroundings, machine: Machine | None, volumes: Sequence[PlannedVolume]
) -> Iterator[PlannedChange]:
    """In the order of the steps. `look` is admitted; `machine` is what a new VM will be, None in place."""
    if look.in_place:
        yield from _power(look)
        yield from _safety(look)
    if wants_manifest(look.restore):
        yield from _worker(look, "describe", "reads the VM's manifest")
    for volume in volumes:
        if volume.path == "Delta":
            yield from _pair(look, volume)
    for record in look.status.volumes:
        yield _change(
            "Create", CLAIM, look.seen.operator_namespace, record.prime_claim, "is filled by the worker", temporary=True
        )
    yield from _worker(look, "restore", "fills the volumes and reads them back")
    for record in look.status.volumes:
        yield from _volume(look, record)
    if machine is not None:
        yield from _machine(look, around, machine)


def _worker(look: Look, verb: Verb, why: str) -> Iterator[PlannedChange]:
    name = job_name(verb, look.restore.metadata.name, look.uid)
    for kind, what in (("Secret", "is the worker's run"), ("Job", why)):
        yield _change("Create", kind, look.seen.operator_namespace, name, what, temporary=True)


def _power(look: Look) -> Iterator[PlannedChange]:
    vm = look.seen.vm
    if vm is not None and vm.run_strategy != HALTED:
        called = look.status.vm.name if look.status.vm else ""
        why = f"is stopped, and run with run strategy {vm.run_strategy} again at the end"
        yield _change("Change", "VirtualMachine", look.seen.namespace.name, called, why)


def _safety(look: Look) -> Iterator[PlannedChange]:
    if look.restore.spec.safety_snapshot is not False:
        name = safety_snapshot_name(look.restore.metadata.name, look.uid)
        why = "is taken of the stopped VM, and kept as long as the replaced volumes"
        yield _change("Create", "VirtualMachineSnapshot", look.seen.namespace.name, name, why)


def _pair(look: Look, volume: PlannedVolume) -> Iterator[PlannedChange]:
    """Of them only the VolumeSnapshot is in a namespace."""
    name, why = pair_name(look.uid, volume.name), f"is what volume {volume.name} is completed from"
    yield PlannedChange(action="Create", kind="VolumeSnapshotContent", name=name, why=why, temporary=True)
    yield _change("Create", "VolumeSnapshot", look.seen.operator_namespace, name, why, temporary=True)


def _volume(look: Look, record: VolumeRestore) -> Iterator[PlannedChange]:
    why = f"holds the restored volume {record.name}, of {record.capacity_bytes} bytes"
    yield PlannedChange(action="Create", kind=VOLUME, why=f"{why}, of class {record.storage_class_name}")
    live = look.seen.live_claims.get(record.claim_name) if look.in_place else None
    if live is not None and live.volume is not None:
        kept = f"is what volume {record.name} was until now: it gets policy Retain and is kept"
        yield PlannedChange(action="Change", kind=VOLUME, name=live.volume, why=kept)
    action = "Create" if live is None else "Replace"
    yield _change(action, CLAIM, look.seen.namespace.name, record.claim_name, f"gets the restored volume {record.name}")


def _machine(look: Look, around: Surroundings, machine: Machine) -> Iterator[PlannedChange]:
    replaced = _replaced(look, around, machine)
    if replaced:
        name = replaced_objects_name(look.restore.metadata.name, look.uid)
        yield _change("Create", "Secret", look.seen.namespace.name, name, "keeps what is replaced")
    for manifest in machine.dependencies:
        kind, name = key(manifest)
        if key(manifest) in replaced:
            yield _change("Replace", kind, look.seen.namespace.name, name, "is needed by the VM with other content")
        elif key(manifest) not in around.dependencies:
            yield _change("Create", kind, look.seen.namespace.name, name, "is needed by the VM")
    name = str(machine.vm["metadata"]["name"])
    yield _change("Create", "VirtualMachine", look.seen.namespace.name, name, "is the restored VM")


def _replaced(look: Look, around: Surroundings, machine: Machine) -> set[ObjectKey]:
    """What exists with other content, where it is to be overwritten."""
    if look.restore.spec.existing_objects != "Overwrite":
        return set()
    seen = replace(look.seen, existing=around.dependencies)
    return {key(found) for found in foreign(replace(look, seen=seen), machine)}


def _change(action: str, kind: str, namespace: str, name: str, why: str, *, temporary: bool = False) -> PlannedChange:
    fields = {"action": action, "kind": kind, "namespace": namespace, "name": name, "why": why, "temporary": temporary}
    return PlannedChange.model_validate(fields)
