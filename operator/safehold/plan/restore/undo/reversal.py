"""The hand-over the other way round: a kept volume gets back under its claim, and the restored one is kept.

It is the same order with the same guards (`handover`), told with the volumes in each other's places.
"""

from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.names import UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore.steps import SetReclaimPolicy, Step
from safehold.plan.restore.volumes.handover import Place, SeenVolume, hand_over
from safehold.plan.storage import Volume
from safehold.reasons import Reason


def hand_back(record: VolumeRestore, seen: SeenVolume, place: Place) -> Step | Refusal | None:
    """The next write that brings the kept volume back under its claim; None when both are bound to each other."""
    if seen.old is None:
        message = f"PersistentVolume {record.old_persistent_volume}, which was kept of volume {record.name}, is gone"
        return Refusal(Reason.VOLUME_ERROR, f"{message}; somebody deleted it")
    return hand_over(_reversed(record, seen.old), SeenVolume(volume=seen.old, claim=seen.claim, old=seen.volume), place)


def settle_back(record: VolumeRestore, seen: SeenVolume) -> Step | None:
    """After `hand_back`: the volume loses the marks of a kept one and gets its policy back; None when that is done."""
    old = seen.old
    policy = record.old_reclaim_policy or "Retain"
    if old is None or (old.reclaim_policy == policy and UNDO_OF not in old.labels):
        return None
    return SetReclaimPolicy(old.name, old.uid, policy, drop_label=UNDO_OF)


def _reversed(record: VolumeRestore, old: Volume) -> VolumeRestore:
    return record.model_copy(
        update={
            "storage_class_name": old.shape.storage_class,
            "access_modes": list(old.shape.access_modes),
            "capacity_bytes": old.shape.size_bytes,
            "persistent_volume": record.old_persistent_volume,
            "reclaim_policy": record.old_reclaim_policy,
            "old_persistent_volume": record.persistent_volume,
            "old_reclaim_policy": record.reclaim_policy,
        }
    )
