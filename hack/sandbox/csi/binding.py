"""What the PV controller decides, as plain functions over objects (pkg/controller/volume/persistentvolume).

Only what it looks at: a claim that names a volume by volumeName is bound by claimRef without comparing size, class or
mode; a claim is looked at when it changes, when its volume asks for it, and at the resync, not when its volume changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sandbox.cluster.client import Object
from sandbox.cluster.informer import key_of
from sandbox.cluster.metadata import annotations_of, is_deleting, labels_of
from sandbox.cluster.quantity import parse_quantity
from sandbox.csi.names import BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, SELECTED_NODE


@dataclass(frozen=True, slots=True)
class Notice:
    """An event about the claim."""

    event_type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind the claim to this volume."""

    volume: Object


@dataclass(frozen=True, slots=True)
class Wait:
    """The claim stays Pending."""

    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Provision:
    """Hand the claim to the provisioner of its class."""

    provisioner: str


@dataclass(frozen=True, slots=True)
class Lose:
    """The claim's volume is gone, or belongs to another claim."""

    notice: Notice


ClaimStep = Bind | Wait | Provision | Lose
VolumeStep = Literal["available", "bound", "released", "unbind", "ask-claim", "mismatch"]

_WAIT_FOR_CONSUMER = Notice("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
_NO_CLASS = Notice(
    "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set"
)
_LOST = "Bound claim has lost {} PersistentVolume. Data on the volume is lost!"
_MISBOUND = Notice("Warning", "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")


def claim_step(
    claim: Object, volumes: Iterable[Object], storage_class: Object | None, volume: Callable[[str], Object | None]
) -> ClaimStep:
    """What to do with a claim, given all volumes, the claim's class, and a look-up of volumes by name."""
    name = claim["spec"].get("volumeName") or ""
    named = volume(name) if name else None
    if BIND_COMPLETED in annotations_of(claim):
        return _bound_claim_step(claim, name, named)
    if name:
        return _named_volume_step(claim, named)
    return _unbound_claim_step(claim, volumes, storage_class)


def _bound_claim_step(claim: Object, name: str, named: Object | None) -> ClaimStep:
    if named is None:
        return Lose(Notice("Warning", "ClaimLost", _LOST.format("its" if name else "reference to")))
    reference = named["spec"].get("claimRef")
    if reference is None or reference.get("uid") == claim["metadata"]["uid"]:
        return Bind(named)
    return Lose(_MISBOUND)


def _named_volume_step(claim: Object, named: Object | None) -> ClaimStep:
    if named is None:
        return Wait()
    if named["spec"].get("claimRef") is None:
        complaint = _mismatch(claim, named)
        return Wait(Notice("Warning", "VolumeMismatch", complaint)) if complaint else Bind(named)
    if refers_to(named, claim):
        return Bind(named)
    message = f'volume "{named["metadata"]["name"]}" already bound to a different claim.'
    return Wait(Notice("Warning", "FailedBinding", message))


def _unbound_claim_step(claim: Object, volumes: Iterable[Object], storage_class: Object | None) -> ClaimStep:
    delayed = waits_for_consumer(storage_class) and SELECTED_NODE not in annotations_of(claim)
    match = best_match(claim, volumes, only_prebound=waits_for_consumer(storage_class))
    if match is not None:
        return Bind(match)
    if delayed:
        return Wait(_WAIT_FOR_CONSUMER)
    if not claim["spec"].get("storageClassName"):
        return Wait(_NO_CLASS)
    if storage_class is None:
        missing = f'storageclass.storage.k8s.io "{claim["spec"]["storageClassName"]}" not found'
        return Wait(Notice("Warning", "ProvisioningFailed", missing))
    return Wait() if is_deleting(claim) else Provision(storage_class["provisioner"])


def volume_step(volume: Object, claim: Object | None) -> VolumeStep:
    """What to do with a volume, given the claim of the name in its claimRef.

    "released" is followed by deletion when the policy is Delete; "ask-claim" lets the claim have a look at once.
    """
    reference = volume["spec"].get("claimRef")
    if reference is None or not reference.get("uid"):
        return "available"
    if claim is None or claim["metadata"]["uid"] != reference["uid"]:
        return "released"
    name = claim["spec"].get("volumeName") or ""
    if name == volume["metadata"]["name"]:
        return "bound"
    if name:
        provisioned = PROVISIONED_BY in annotations_of(volume)
        return "released" if provisioned and reclaim_policy(volume) == "Delete" else "unbind"
    return "mismatch" if volume_mode(claim) != volume_mode(volume) else "ask-claim"


def best_match(claim: Object, volumes: Iterable[Object], *, only_prebound: bool) -> Object | None:
    """The volume reserved for the claim, else the smallest available one that fits."""
    fitting: list[Object] = []
    for volume in volumes:
        taken = volume["spec"].get("claimRef") is not None
        if (taken and not refers_to(volume, claim)) or is_deleting(volume) or not _holds(volume, claim):
            continue
        if taken:
            return volume
        if not only_prebound and (volume.get("status") or {}).get("phase") == "Available" and _selected(claim, volume):
            fitting.append(volume)
    return min(fitting, key=capacity, default=None)


def refers_to(volume: Object, claim: Object) -> bool:
    """True if the volume's claimRef is the claim, or reserves the volume for whatever claim has its name."""
    reference = volume["spec"].get("claimRef") or {}
    same_name = (reference.get("namespace", ""), reference.get("name")) == key_of(claim)
    return same_name and reference.get("uid") in (None, "", claim["metadata"]["uid"])


def claim_reference(claim: Object) -> Object:
    """The claimRef that binds a volume to the claim."""
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def waits_for_consumer(storage_class: Object | None) -> bool:
    """True for a class whose volumes are made only once a pod uses the claim."""
    return (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def volume_mode(obj: Object) -> str:
    """Block or Filesystem, of a claim or a volume."""
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def reclaim_policy(volume: Object) -> str:
    """Retain or Delete (Retain is what the API server fills in)."""
    return str(volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain")


def capacity(volume: Object) -> int:
    """The volume's size in bytes."""
    return parse_quantity(volume["spec"]["capacity"]["storage"])


def requested_bytes(claim: Object) -> int:
    """The size that the claim asks for, in bytes."""
    return parse_quantity(claim["spec"]["resources"]["requests"]["storage"])


def bound_by_controller(obj: Object) -> bool:
    """True if the PV controller chose this side of the pair, not a person."""
    return BOUND_BY_CONTROLLER in annotations_of(obj)


def _holds(volume: Object, claim: Object) -> bool:
    return (
        capacity(volume) >= requested_bytes(claim)
        and volume_mode(volume) == volume_mode(claim)
        and set(claim["spec"].get("accessModes") or []) <= set(volume["spec"].get("accessModes") or [])
    )


def _selected(claim: Object, volume: Object) -> bool:
    wanted = ((claim["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    same_class = (claim["spec"].get("storageClassName") or "") == (volume["spec"].get("storageClassName") or "")
    return same_class and wanted <= labels_of(volume).items()


def _mismatch(claim: Object, volume: Object) -> str | None:
    if requested_bytes(claim) > capacity(volume):
        return 'Cannot bind to requested volume "{}": requested PV is too small'.format(volume["metadata"]["name"])
    if (claim["spec"].get("storageClassName") or "") != (volume["spec"].get("storageClassName") or ""):
        return 'Cannot bind to requested volume "{}": storageClassName does not match'.format(
            volume["metadata"]["name"]
        )
    if volume_mode(claim) != volume_mode(volume):
        return 'Cannot bind to requested volume "{}": incompatible volumeMode'.format(volume["metadata"]["name"])
    return None
