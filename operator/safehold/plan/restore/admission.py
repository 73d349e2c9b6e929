"""Whether a restore can be done at all, decided before anything is changed; and what it will write to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safehold.api import VMRestore
from safehold.api.restore_point import PointVolume, RestorePoint
from safehold.api.restored_volumes import VolumeRestore
from safehold.api.vmrestore import RestoredVM
from safehold.plan.conditions import is_finished
from safehold.plan.names import prime_claim_name, restored_claim_name, restored_state_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import ObservedRestore, VMFacts
from safehold.plan.restore.machine.mappings import storage_class_of
from safehold.plan.restore.point.description import disks_of
from safehold.plan.restore.volumes.selection import chosen_disks
from safehold.plan.restore.volumes.volumes_only import refuse_claim_name, volume_claim_name
from safehold.plan.storage import Claim
from safehold.plan.target.use import TargetFacts, refuse_repository
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What is recorded before the first write."""

    vm: RestoredVM | None
    """None where only volumes are restored."""
    volumes: tuple[VolumeRestore, ...]


def admit(restore: VMRestore, point: RestorePoint, seen: ObservedRestore) -> Admission | Refusal:
    """Judge a restore whose point is chosen."""
    refusal = _refuse_target(restore, point, seen)
    if refusal is not None:
        return refusal
    disks = chosen_disks(restore, point)
    if isinstance(disks, Refusal):
        return disks
    disks = [_mapped(disk, restore) for disk in disks]
    match restore.spec.target.mode:
        case "NewVM":
            return _admit_new(restore, point, disks, seen)
        case "VolumesOnly":
            return _admit_volumes(restore, disks, seen)
        case "InPlace":
            return _admit_in_place(restore, point, disks, seen)


def _mapped(disk: PointVolume, restore: VMRestore) -> PointVolume:
    return disk.model_copy(update={"storage_class_name": storage_class_of(restore, disk.storage_class_name)})


def new_claim_name(restore: VMRestore, point: RestorePoint, disk: PointVolume) -> str:
    """How the claim of a volume of a new VM is called."""
    if restore.spec.target.claim_names == "AsBackedUp" and disk.claim_name:
        return disk.claim_name
    vm, uid = vm_name(restore, point), restore.metadata.uid
    return restored_state_name(vm, uid) if disk.role == "State" else restored_claim_name(vm, disk.name, uid)


def vm_name(restore: VMRestore, point: RestorePoint) -> str:
    """The VM to restore to: the source's own name unless another is given."""
    return restore.spec.target.name or point.vm.name


def claims_of_interest(restore: VMRestore, point: RestorePoint, vm: VMFacts | None) -> list[str]:
    """The claims that an admission looks at: those of the VM in place, or those that have the names of new ones."""
    match restore.spec.target.mode:
        case "InPlace":
            return list(vm.claims.values()) if vm else []
        case "VolumesOnly":
            return [volume_claim_name(restore, disk.name) for disk in disks_of(point)]
        case "NewVM":
            return [new_claim_name(restore, point, disk) for disk in disks_of(point)]


def _refuse_target(restore: VMRestore, point: RestorePoint, seen: ObservedRestore) -> Refusal | None:
    if isinstance(seen.target, Refusal):
        return seen.target
    assert isinstance(seen.target, TargetFacts)
    if refusal := refuse_repository(seen.target, point.repository_id):
        return refusal
    account = restore.spec.service_account_name
    if account and not seen.has_service_account:
        message = f"ServiceAccount {account}, which spec.serviceAccountName names, does not exist; create it"
        return Refusal(Reason.INVALID_SPEC, message)
    if seen.target.kind == "BackupTarget" and not account:
        message = (
            "the restore point lies in a BackupTarget, whose content the namespace's users can write: "
            "name in spec.serviceAccountName with whose rights its objects are created"
        )
        return Refusal(Reason.INVALID_SPEC, message)
    return None


def _admit_new(
    restore: VMRestore, point: RestorePoint, disks: Sequence[PointVolume], seen: ObservedRestore
) -> Admission | Refusal:
    name = vm_name(restore, point)
    if seen.vm is not None:
        message = f"VM {seen.namespace.name}/{name} exists; give spec.target.name another name, or restore InPlace"
        return Refusal(Reason.VM_EXISTS, message)
    if seen.state_claim and any(disk.role == "State" for disk in disks):
        message = (
            f"claim {seen.namespace.name}/{seen.state_claim} is labelled as the TPM and EFI state of a VM {name}; "
            "delete it, or give spec.target.name another name"
        )
        return Refusal(Reason.CLAIM_CONFLICT, message)
    uid = restore.metadata.uid
    volumes = [_record(disk, uid, claim_name=new_claim_name(restore, point, disk)) for disk in disks]
    if taken := sorted(volume.claim_name for volume in volumes if volume.claim_name in seen.live_claims):
        message = f"claim {', '.join(taken)} exists; delete it, or leave out spec.target.claimNames"
        return Refusal(Reason.CLAIM_CONFLICT, message)
    return _with_classes(Admission(vm=RestoredVM(name=name), volumes=tuple(volumes)), seen)


def _admit_volumes(restore: VMRestore, disks: Sequence[PointVolume], seen: ObservedRestore) -> Admission | Refusal:
    records: list[VolumeRestore] = []
    for disk in disks:
        name = volume_claim_name(restore, disk.name)
        if refusal := refuse_claim_name(name, seen.namespace.name, seen.live_claims):
            return refusal
        records.append(_record(disk, restore.metadata.uid, claim_name=name))
    return _with_classes(Admission(vm=None, volumes=tuple(records)), seen)


def _admit_in_place(
    restore: VMRestore, point: RestorePoint, disks: Sequence[PointVolume], seen: ObservedRestore
) -> Admission | Refusal:
    name, vm = vm_name(restore, point), seen.vm
    called = f"VM {seen.namespace.name}/{name}"
    if vm is None or vm.deleting:
        message = f"{called} does not exist, so nothing can be restored in place; use mode NewVM"
        return Refusal(Reason.VM_NOT_FOUND, message)
    if vm.uid != point.vm.uid:
        message = (
            f"the restore point is of another VM than {called} (uid {point.vm.uid}, found {vm.uid}), which "
            "was created anew or never was the same; restore with mode NewVM beside it"
        )
        return Refusal(Reason.POINT_NOT_YOURS, message)
    if rival := next((other for other in seen.others if _goes_first(other, restore, name)), None):
        message = f"VMRestore {rival.metadata.name} restores {called} in place; this one begins when that has ended"
        return Refusal(Reason.WAITING, message)
    volumes: list[VolumeRestore] = []
    for volume in disks:
        record = _replacement(volume, restore.metadata.uid, vm, called, seen.live_claims)
        if isinstance(record, Refusal):
            return record
        volumes.append(record)
    running = RestoredVM(name=name, uid=vm.uid, original_run_strategy=vm.run_strategy, was_running=vm.is_running)
    return _with_classes(Admission(vm=running, volumes=tuple(volumes)), seen)


def _goes_first(other: VMRestore, restore: VMRestore, vm: str) -> bool:
    """Whether another restore in place of the VM is under way, or waits for longer; one without a VM yet may be of any.

    Two at once would swap each other's volumes, and each would stop the VM that the other starts.
    """
    if other.spec.target.mode != "InPlace" or other.spec.dry_run or is_finished(other.status.conditions):
        return False
    if other.status.vm is not None:
        return other.status.vm.name == vm
    return (other.spec.target.name or other.spec.source.vm) in (None, vm) and _age(other) < _age(restore)


def _age(restore: VMRestore) -> tuple[str, str]:
    created = restore.metadata.creation_timestamp
    return created.isoformat() if created else "", restore.metadata.uid


def _replacement(
    volume: PointVolume, uid: str, vm: VMFacts, called: str, live_claims: Mapping[str, Claim]
) -> VolumeRestore | Refusal:
    """The new volume is as the claim in the cluster is now; a claim that was deleted comes back as it was."""
    claim_name = vm.claims.get(volume.name)
    if claim_name is None and volume.role == "State":
        return _record(volume, uid, claim_name=restored_state_name(called.rpartition("/")[2], uid))
    if claim_name is None:
        message = f"{called} no longer has volume {volume.name}, which the restore point holds; use mode NewVM"
        return Refusal(Reason.VOLUME_MISMATCH, message)
    live = live_claims.get(claim_name)
    if live is None:
        return _record(volume, uid, claim_name=claim_name)
    if live.volume is None:
        message = f"claim {claim_name} of volume {volume.name} is not bound to a volume; delete it and restore again"
        return Refusal(Reason.VOLUME_MISMATCH, message)
    if live.shape.mode != volume.mode:
        message = (
            f"volume {volume.name} was backed up as {volume.mode}, its claim {claim_name} is {live.shape.mode} now; "
            "use mode NewVM"
        )
        return Refusal(Reason.VOLUME_MISMATCH, message)
    needed = volume.disk_bytes or volume.capacity_bytes
    if live.shape.size_bytes < needed:
        message = (
            f"claim {claim_name} has {live.shape.size_bytes} bytes, volume {volume.name} of the restore point needs "
            f"{needed}; grow the claim, or use mode NewVM"
        )
        return Refusal(Reason.VOLUME_MISMATCH, message)
    return _record(volume, uid, claim_name=claim_name).model_copy(
        update={
            "storage_class_name": live.shape.storage_class,
            "access_modes": list(live.shape.access_modes),
            "capacity_bytes": max(volume.capacity_bytes, live.shape.size_bytes),
        }
    )


def _record(volume: PointVolume, uid: str, *, claim_name: str) -> VolumeRestore:
    return VolumeRestore(
        name=volume.name,
        role="State" if volume.role == "State" else "Disk",
        mode=volume.mode,
        storage_class_name=volume.storage_class_name,
        access_modes=volume.access_modes,
        capacity_bytes=volume.capacity_bytes,
        prime_claim=prime_claim_name(uid, volume.name),
        claim_name=claim_name,
    )


def _with_classes(admission: Admission, seen: ObservedRestore) -> Admission | Refusal:
    for volume in admission.volumes:
        if volume.storage_class_name not in seen.storage_classes:
            called = volume.storage_class_name or "(none)"
            message = (
                f"StorageClass {called} of volume {volume.name} does not exist here; create it, or, unless in place, "
                "name another in spec.mappings.storageClasses"
            )
            return Refusal(Reason.VOLUME_MISMATCH, message)
    return admission
