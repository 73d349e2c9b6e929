"""How a filled volume gets under a claim of the VM's namespace, one write at a time.

The order and its guards are those that were killed after every write on real controllers and always converged. Two ways
lose the data: the filling claim goes, or the volume refers to a claim that is gone, while the policy is Delete; hence
Retain comes first. One way gives it away: a volume without claimRef belongs to the first claim that asks; hence the
claimRef is only ever replaced. What is replaced in place is kept: its volume gets Retain and a label, and no write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.machine_state import state_labels
from safehold.plan.names import RESTORED_BY, UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore.machine.data_volumes import POPULATED_FOR
from safehold.plan.restore.steps import (
    AssignVolume,
    CreateClaim,
    DeleteClaim,
    KeepVolume,
    PokeClaim,
    SetReclaimPolicy,
    Step,
    Wait,
)
from safehold.plan.storage import Claim, ClaimShape, NewClaim, Volume, misfit
from safehold.reasons import Reason

POKED = "safehold.dev/poked"
"""Annotation whose change makes the volume controller look at a claim now; its own round takes up to 15 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Between which namespaces a restore moves volumes."""

    restore_uid: str
    operator_namespace: str
    namespace: str
    vm: str
    """The VM that gets the volumes; empty where only volumes are restored."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What new claims get beside the labels of those that they replace."""
    adopts: bool = False
    """Whether DataVolumes of the claims' names are to take them over as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenVolume:
    """What the cluster holds of one volume's hand-over."""

    prime: Claim | None = None
    """The filling claim in the operator's namespace."""
    volume: Volume | None = None
    """The new persistent volume."""
    claim: Claim | None = None
    """Whatever has the final claim's name in the restore's namespace."""
    old: Volume | None = None
    """In place: the persistent volume that is replaced."""


def hand_over(record: VolumeRestore, seen: SeenVolume, place: Place) -> Step | Refusal | None:
    """The next write that brings the new volume under its claim; None when both are bound to each other."""
    if seen.volume is None:
        message = f"PersistentVolume {record.persistent_volume} with the restored volume {record.name} is gone"
        return Refusal(Reason.VOLUME_ERROR, f"{message}; somebody deleted it, restore again")
    if _is_handed_over(seen.claim, seen.volume, place):
        return None
    return (
        _keep(record, seen, seen.volume, place)
        or _free_name(record, seen.claim)
        or _take_name(record, seen.claim, seen.volume, place)
        or _assign(record, seen.claim, seen.volume, place)
        or _await_binding(seen.claim, seen.volume)
    )


def _is_handed_over(claim: Claim | None, volume: Volume, place: Place) -> bool:
    """Whether claim and volume are bound to each other; its policy may be Delete again by then."""
    if claim is None or not _is_marked(claim, place) or claim.volume != volume.name or volume.claim != claim.ref:
        return False
    return claim.phase == "Bound" and volume.phase == "Bound" and not claim.deleting


def settle(record: VolumeRestore, seen: SeenVolume) -> Step | None:
    """After `hand_over`: the filling claim goes, and the volume gets its policy back; None when that is done."""
    gone = _remove(seen.prime, record.prime_uid)
    if gone is not None:
        return gone
    volume, policy = seen.volume, record.reclaim_policy
    if volume is not None and policy is not None and volume.reclaim_policy != policy:
        return SetReclaimPolicy(volume.name, volume.uid, policy)
    return None


def is_replaced(record: VolumeRestore, seen: SeenVolume) -> bool:
    """Whether the VM's old volume has lost its claim, or is about to: from then on there is only the way forward."""
    return _has_lost_claim(record.old_persistent_volume, seen.claim)


def is_given_back(record: VolumeRestore, seen: SeenVolume) -> bool:
    """In an undo: whether the restored volume has lost its claim, or is about to."""
    return _has_lost_claim(record.persistent_volume, seen.claim)


def _has_lost_claim(volume: str | None, claim: Claim | None) -> bool:
    return volume is not None and (claim is None or claim.deleting or claim.volume != volume)


def take_back(record: VolumeRestore, seen: SeenVolume, place: Place) -> Step | None:
    """The next write that removes everything the restore made of this volume; None when nothing is left.

    The policy comes first: a volume of a class that retains would stay behind once nothing names it.
    """
    volume, old, policy = seen.volume, seen.old, record.old_reclaim_policy
    if old is not None and policy is not None and UNDO_OF in old.labels and not is_replaced(record, seen):
        return SetReclaimPolicy(old.name, old.uid, policy, drop_label=UNDO_OF)
    if volume is not None and volume.reclaim_policy != "Delete" and _was_ours(record, volume, place):
        return SetReclaimPolicy(volume.name, volume.uid, "Delete")
    claim = seen.claim
    if claim is not None and _is_marked(claim, place) and claim.volume == record.persistent_volume:
        return _remove(claim)
    return _remove(seen.prime)


def _keep(record: VolumeRestore, seen: SeenVolume, volume: Volume, place: Place) -> Step | None:
    if volume.reclaim_policy != "Retain":
        return KeepVolume(volume.name, volume.uid, {})
    undo = {UNDO_OF: place.restore_uid}
    old = seen.old if record.old_persistent_volume else None
    if old is not None and (old.reclaim_policy != "Retain" or not undo.items() <= old.labels.items()):
        return KeepVolume(old.name, old.uid, undo)
    return None


def _free_name(record: VolumeRestore, claim: Claim | None) -> Step | None:
    if claim is None or record.old_persistent_volume is None or claim.volume != record.old_persistent_volume:
        return None
    return _remove(claim)


def _take_name(record: VolumeRestore, claim: Claim | None, volume: Volume, place: Place) -> Step | Refusal | None:
    if claim is None:
        return CreateClaim(_final_claim(record, volume, place))
    if claim.deleting:
        return Wait(f"claim {claim.ref.name} is being deleted; pods that use it hold it")
    if claim.volume == volume.name and _is_marked(claim, place):
        return None
    message = f"claim {claim.ref.namespace}/{claim.ref.name} exists and is not this restore's; delete or rename it"
    return Refusal(Reason.CLAIM_CONFLICT, message)


def _assign(record: VolumeRestore, claim: Claim | None, volume: Volume, place: Place) -> Step | Refusal | None:
    assert claim is not None  # _take_name saw to that
    reason = misfit(claim.shape, volume)
    if reason is not None:
        message = f"claim {claim.ref.namespace}/{claim.ref.name} does not fit the restored volume: {reason}"
        return Refusal(Reason.VOLUME_MISMATCH, message)
    if volume.claim == claim.ref:
        return None
    if volume.claim is not None and not _was_ours(record, volume, place):
        taker = f"{volume.claim.namespace}/{volume.claim.name}"
        return Refusal(Reason.CLAIM_CONFLICT, f"PersistentVolume {volume.name} was given to claim {taker} by somebody")
    return AssignVolume(volume.name, volume.resource_version, claim.ref)


def _await_binding(claim: Claim | None, volume: Volume) -> Step:
    assert claim is not None  # _take_name saw to that
    if claim.annotations.get(POKED) == volume.resource_version:
        return Wait(f"claim {claim.ref.name} is being bound to its restored volume")
    return PokeClaim(claim.ref, volume.resource_version)


def _was_ours(record: VolumeRestore, volume: Volume, place: Place) -> bool:
    """Whether the volume belongs to the filling claim, or to a claim that has or had the final one's name."""
    if volume.claim is None:
        return True
    holder = (volume.claim.namespace, volume.claim.name)
    return holder in {
        (place.operator_namespace, record.prime_claim),
        (place.namespace, record.claim_name),
    }


def _final_claim(record: VolumeRestore, volume: Volume, place: Place) -> NewClaim:
    before = record.old_claim
    return NewClaim(
        namespace=place.namespace,
        name=record.claim_name,
        shape=shape_of(record),
        volume=volume.name,
        labels={
            **(before.labels if before else {}),
            **place.labels,
            **(state_labels(place.vm) if record.role == "State" and place.vm else {}),
            RESTORED_BY: place.restore_uid,
        },
        annotations={
            **(before.annotations if before else {}),
            **({POPULATED_FOR: record.claim_name} if place.adopts and record.role == "Disk" else {}),
        },
        owners=tuple(before.owner_references) if before else (),
    )


def shape_of(record: VolumeRestore) -> ClaimShape:
    """What the filling claim and the final one ask for: the same."""
    return ClaimShape(
        storage_class=record.storage_class_name,
        mode=record.mode,
        access_modes=tuple(record.access_modes),
        size_bytes=record.capacity_bytes,
    )


def _is_marked(claim: Claim, place: Place) -> bool:
    return claim.labels.get(RESTORED_BY) == place.restore_uid


def _remove(claim: Claim | None, uid: str | None = None) -> Step | None:
    if claim is None or (uid is not None and claim.ref.uid != uid):
        return None
    if claim.deleting:
        return Wait(f"claim {claim.ref.namespace}/{claim.ref.name} is being deleted; pods that use it hold it")
    return DeleteClaim(claim.ref)
