"""Which volume of which point a claim is filled with, and whether its namespace may have it."""

from dataclasses import dataclass

from safehold.api import VMBackup
from safehold.api.vmbackup import VolumeBackup
from safehold.plan.conditions import is_true
from safehold.plan.populate.facts import CHOSEN_VOLUME, PopulateFacts
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import TargetFacts, refuse_repository
from safehold.plan.tenancy import PointOwner, refuse_restore
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What a claim is filled with."""

    backup: VMBackup
    volume: VolumeBackup


def admit(facts: PopulateFacts) -> Filling | Refusal:
    """Judge the request. Whoever may not read a namespace's points does not learn which ones exist."""
    backup = _point(facts)
    if isinstance(backup, Refusal):
        return _refuse_namespace(facts) or backup
    owner = PointOwner(
        cluster_id=backup.status.cluster_id or "",
        namespace=facts.source_name,
        namespace_uid=backup.status.namespace_uid or "",
    )
    if refusal := refuse_restore(owner, cluster_id=facts.cluster_id, source=facts.source, target=facts.namespace):
        return refusal
    volume = _chosen_volume(facts, backup)
    if isinstance(volume, Refusal):
        return volume
    if refusal := _refuse_claim(facts, volume):
        return refusal
    return Filling(backup=backup, volume=volume)


def usable_target(facts: PopulateFacts, backup: VMBackup) -> TargetFacts | Refusal:
    """The target of the point, judged only before a worker is started: one that runs is not stopped for it."""
    if not isinstance(facts.target, TargetFacts):
        return facts.target or Refusal(Reason.TARGET_NOT_FOUND, "the target of the VMBackup was not found")
    stored = backup.status.target.repository_id if backup.status.target else None
    return refuse_repository(facts.target, stored) or facts.target


def _point(facts: PopulateFacts) -> VMBackup | Refusal:
    called = f"VMBackup {facts.source_name}/{facts.backup_name}"
    if facts.backup is None:
        return Refusal(Reason.POINT_NOT_FOUND, f"{called}, which the claim's dataSourceRef names, does not exist")
    status = facts.backup.status
    if not is_true(status.conditions, "Ready") or not status.restore_point:
        why = f"it failed: {status.failure.message}" if status.failure else f"its phase is {status.phase or 'Pending'}"
        return Refusal(Reason.POINT_NOT_FOUND, f"{called} has no restore point: {why}"[:1024])
    return facts.backup


def _refuse_namespace(facts: PopulateFacts) -> Refusal | None:
    uid = facts.source.uid if facts.source else ""
    owner = PointOwner(cluster_id=facts.cluster_id, namespace=facts.source_name, namespace_uid=uid)
    return refuse_restore(owner, cluster_id=facts.cluster_id, source=facts.source, target=facts.namespace)


def _chosen_volume(facts: PopulateFacts, backup: VMBackup) -> VolumeBackup | Refusal:
    disks = [volume for volume in backup.status.volumes if volume.role == "Disk"]
    wanted = facts.claim.annotations.get(CHOSEN_VOLUME)
    found = [volume for volume in disks if wanted in (None, volume.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(volume.name for volume in disks)
    said = f"has no volume {wanted}" if wanted else "has several volumes"
    message = f"the restore point {said}; name one in the claim's annotation {CHOSEN_VOLUME}: {names}"
    return Refusal(Reason.VOLUME_MISMATCH, message[:1024])


def _refuse_claim(facts: PopulateFacts, volume: VolumeBackup) -> Refusal | None:
    shape = facts.claim.shape
    if shape.size_bytes < volume.capacity_bytes:
        message = (
            f"the claim asks for {shape.size_bytes} bytes, volume {volume.name} has {volume.capacity_bytes}; "
            "create the claim again, at least as large"
        )
        return Refusal(Reason.VOLUME_MISMATCH, message)
    if facts.claim.volume is not None:
        message = (
            f"the claim names PersistentVolume {facts.claim.volume} itself; leave out volumeName to have it filled"
        )
        return Refusal(Reason.CLAIM_CONFLICT, message)
    if facts.storage_class is None:
        called = shape.storage_class or "(none)"
        return Refusal(Reason.VOLUME_MISMATCH, f"StorageClass {called} of the claim does not exist; create it")
    return None
