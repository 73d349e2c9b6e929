"""One plan out of what was observed: the same for a dry run and for a restore that begins."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from safehold.api.restore_plan import PlanConflict, PlannedVolume, RestorePlan
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import Admission
from safehold.plan.restore.look import Look
from safehold.plan.restore.machine.manifest import Machine
from safehold.plan.restore.machine.rebuild import foresee_machine
from safehold.plan.restore.plan.changes import changes_of
from safehold.plan.restore.plan.comparison import hash_of
from safehold.plan.restore.plan.estimate import Estimate, estimate
from safehold.plan.restore.plan.machine_conflicts import conflicts_in_place, conflicts_of_new
from safehold.plan.restore.plan.storage_conflicts import conflict, storage_conflicts
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.plan.restore.volumes.ways import foresee_way

_ORDER = {"Blocks": 0, "Warns": 1}


def make_plan(look: Look, admission: Admission | Refusal) -> RestorePlan:
    """What will be done. Of a restore that is not admitted, only why."""
    point = look.point
    around = look.seen.around or Surroundings()
    begun = look if isinstance(admission, Refusal) else admitted(look, admission)
    machine = None if isinstance(admission, Refusal) else planned_machine(begun)
    refusals = [refused for refused in (admission, machine) if isinstance(refused, Refusal)]
    conflicts = [conflict("Blocks", refusal) for refusal in refusals]
    plan = RestorePlan(
        hash="",
        time=look.now,
        restore_point=point.id,
        capture_time=point.capture_time,
        consistency=point.consistency,
        verified=point.verified,
        verified_time=point.capture_time if point.verified else None,
        estimate_basis="unknown: the restore is refused",
        conflicts=conflicts,
    )
    if not refusals:
        assert not isinstance(machine, Refusal)
        plan = _filled(plan, begun, around, machine)
    return plan.model_copy(update={"hash": hash_of(plan)})


def admitted(look: Look, admission: Admission) -> Look:
    """The look as it will be once the admission is recorded."""
    changes = {"vm": admission.vm, "volumes": list(admission.volumes)}
    status = look.status.model_copy(update=changes)
    return replace(look, restore=look.restore.model_copy(update={"status": status}))


def planned_machine(look: Look) -> Machine | Refusal | None:
    """What a new VM will be, out of its manifest; None where none is made."""
    if look.in_place or look.status.vm is None:
        return None
    return foresee_machine(look, look.status.vm.name, look.status.volumes)


def _filled(plan: RestorePlan, look: Look, around: Surroundings, machine: Machine | None) -> RestorePlan:
    volumes = list(_volumes(look, around))
    expected = _estimate(look, around, volumes)
    conflicts = sorted(_conflicts(look, around, machine), key=lambda each: _ORDER[each.severity])
    return plan.model_copy(
        update={
            "volumes": volumes,
            "bytes_to_write": _total(volume.bytes_to_write for volume in volumes),
            "bytes_to_fetch": _total(volume.bytes_to_fetch for volume in volumes),
            "estimated_seconds": expected.seconds,
            "estimate_basis": expected.basis,
            "changes": list(changes_of(look, around, machine, volumes)),
            "conflicts": conflicts,
        }
    )


def _volumes(look: Look, around: Surroundings) -> Iterator[PlannedVolume]:
    sizes = {volume.name: volume.disk_bytes for volume in look.point.volumes}
    for record in look.status.volumes:
        path, reason = foresee_way(look, record, around.snapshot_drivers)
        yield PlannedVolume(
            name=record.name,
            path=path,
            path_reason=reason,
            claim_name=record.claim_name,
            storage_class_name=record.storage_class_name,
            capacity_bytes=record.capacity_bytes,
            bytes_to_write=sizes.get(record.name),
            bytes_to_fetch=sizes.get(record.name),
        )


def _estimate(look: Look, around: Surroundings, volumes: list[PlannedVolume]) -> Estimate:
    target = look.point.target_ref
    size = _total(volume.bytes_to_write for volume in volumes)
    return estimate(size, around.past, around.past_backups, target=f"{target.kind} {target.name}")


def _total(counts: Iterable[int | None]) -> int | None:
    """The sum, if all are known."""
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)


def _conflicts(look: Look, around: Surroundings, machine: Machine | None) -> Iterator[PlanConflict]:
    yield from storage_conflicts(look, around, machine)
    if look.in_place:
        yield from conflicts_in_place(look, around)
    if machine is not None:
        yield from conflicts_of_new(look, around, machine)
