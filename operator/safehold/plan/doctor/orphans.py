"""Which objects of ours nobody needs any more. Ours is only what carries our label and the uid of its owner.

An object is needed as long as its owner exists and its run is under way. A run takes away what it made before it says
that it has ended, so what is there later was left by a crash, or put back by somebody. Data that a restore brought into
a namespace, and volumes that it keeps for an undo, carry other labels and are never orphans.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

RUNS = frozenset({"VMBackup", "VMRestore"})
"""Kinds of owner that are one run; the others, targets, own objects as long as they exist."""
MARK = "Mark on PersistentVolumeClaim"
"""A label of ours on a VM's own claim is a child too, of no kind of Kubernetes."""
GROUP_ORPHANS = frozenset({"VolumeGroupSnapshot", "VolumeGroupSnapshotContent", MARK})
"""What is left of a group snapshot."""
_CONSEQUENCES: Mapping[str, str] = {
    "Job": "its pod is stopped; a worker that has not committed leaves no restore point",
    "Secret": "a copy of credentials or of a VM's manifest goes; the original stays",
    "PersistentVolumeClaim": "a copy of a disk or of memory goes; the VM's own disks stay",
    "VolumeSnapshot": "a snapshot of a run goes; the VM's disks stay",
    "VolumeSnapshotContent": "a hold on a snapshot ends: the policy that it had is set back",
    "VolumeGroupSnapshot": "a group of snapshots of a run goes; the VM's disks stay",
    "VolumeGroupSnapshotContent": "a hold on a group of snapshots ends: the policy that it had is set back",
    MARK: "the label goes; the claim and its disk stay",
    "VirtualMachineBackup": "KubeVirt ends its own backup of the VM; the VM's disks stay",
    "VirtualMachineSnapshot": "KubeVirt removes the snapshot of the VM; the VM's disks stay",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An object that carries the labels of an owner. `namespace` is None for a cluster-wide kind."""

    kind: str
    namespace: str | None
    name: str
    created: datetime
    owner_kind: str
    owner_uid: str
    owner_namespace: str
    owner_name: str

    @property
    def owner(self) -> str:
        """The owner as people name it."""
        where = f"{self.owner_namespace}/" if self.owner_namespace else ""
        return f"{self.owner_kind} {where}{self.owner_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An object that exists. `ended` is set for a run that is over and that nobody deletes just now."""

    uid: str
    ended: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """An object of ours that nobody needs, and what its removal means."""

    kind: str
    namespace: str | None
    name: str
    made_by: str
    owner_uid: str
    age: timedelta
    why: str
    consequence: str


def find_orphans(children: Iterable[Child], owners: Iterable[Owner], now: datetime) -> tuple[Orphan, ...]:
    """The orphans among `children`, run by run. The owners must have been read after the children."""
    living = {owner.uid: owner for owner in owners}
    found = [
        Orphan(
            kind=child.kind,
            namespace=child.namespace,
            name=child.name,
            made_by=child.owner,
            owner_uid=child.owner_uid,
            age=now - child.created,
            why=why,
            consequence=_CONSEQUENCES.get(child.kind, "the object goes"),
        )
        for child in children
        if (why := _why(child, living.get(child.owner_uid))) is not None
    ]
    return tuple(sorted(found, key=lambda orphan: (orphan.made_by, orphan.kind, orphan.namespace or "", orphan.name)))


def _why(child: Child, owner: Owner | None) -> str | None:
    if owner is None:
        return f"{child.owner} does not exist any more"
    if child.owner_kind in RUNS and owner.ended is not None:
        return f"the run of {child.owner} ended at {owner.ended:%FT%TZ}"
    return None
