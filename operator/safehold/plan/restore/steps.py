"""The single writes of a restore, as values. `kube` carries each out; all may be repeated.

Writes into the restore's own namespace are done with the rights that the restore has there (`spec.serviceAccountName`
or the operator's), all others with the operator's. What was made is taken back with the operator's rights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from safehold.api.base import ReclaimPolicy
from safehold.api.capture import SnapshotHandle
from safehold.description import DescribeRun
from safehold.plan.storage import ClaimRef, NewClaim
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason
from safehold.run import RestoreRun


@dataclass(frozen=True, slots=True)
class KeepVolume:
    """Set a persistent volume's policy to Retain, and add labels and annotations."""

    volume: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetReclaimPolicy:
    """Give a persistent volume another policy, and take a label of ours away, with what annotations say beside it."""

    volume: str
    uid: str
    policy: ReclaimPolicy
    drop_label: str | None = None


@dataclass(frozen=True, slots=True)
class AssignVolume:
    """Replace a persistent volume's claimRef whole, if it is still as it was read."""

    volume: str
    resource_version: str
    claim: ClaimRef


@dataclass(frozen=True, slots=True)
class CreateClaim:
    """Create a claim, if its name is free."""

    claim: NewClaim


@dataclass(frozen=True, slots=True)
class DeleteClaim:
    """Delete exactly this claim."""

    claim: ClaimRef


@dataclass(frozen=True, slots=True)
class PokeClaim:
    """Change an annotation of a claim, so that the volume controller looks at it now."""

    claim: ClaimRef
    value: str


@dataclass(frozen=True, slots=True)
class TakeSafetySnapshot:
    """Create a VirtualMachineSnapshot of the VM, with the operator's rights."""

    name: str
    vm: str
    deadline_seconds: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeleteSafetySnapshot:
    """Delete exactly this VirtualMachineSnapshot."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class MakePair:
    """Make a snapshot of the VM's namespace readable in the operator's."""

    handle: SnapshotHandle
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemovePair:
    """Remove our VolumeSnapshot and VolumeSnapshotContent of this name; the driver's snapshot stays."""

    name: str


@dataclass(frozen=True, slots=True)
class StartRestoreJob:
    """Start the worker that fills the claims named by `claims` (VM volume name → claim)."""

    name: str
    run: RestoreRun
    claims: Mapping[str, str]
    target: TargetFacts
    labels: Mapping[str, str]
    node_affinity: Mapping[str, object] | None = None
    """The node selector of the worker's pod."""


@dataclass(frozen=True, slots=True)
class StartInquiry:
    """Start the worker that describes a restore point out of its bucket."""

    name: str
    run: DescribeRun
    target: TargetFacts
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AdoptSecret:
    """Make a Job the owner of its Secret: what starting it did not come to."""

    job: str
    job_uid: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Job with its pods and its Secret."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateObject:
    """Create an object of the restored VM, if its name is free."""

    manifest: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnObject:
    """Make the restored VM the owner of an object that was made for it."""

    api_version: str
    kind: str
    name: str
    vm: str
    vm_uid: str


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """Make the restored VM the owner of the claim with its state, as KubeVirt does: it goes with the VM."""

    claim: ClaimRef
    vm: str
    vm_uid: str


@dataclass(frozen=True, slots=True)
class SaveObjects:
    """Keep objects in a Secret before they are replaced; what an earlier try kept stays."""

    secret: str
    restore: str
    restore_uid: str
    manifests: Sequence[Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete exactly this object of the restore's namespace."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SetRunStrategy:
    """Run a VM otherwise: Halted stops it, all else is how it ran before."""

    vm: str
    uid: str
    strategy: str


@dataclass(frozen=True, slots=True)
class StartVM:
    """Start a VM whose run strategy leaves that to people."""

    vm: str


@dataclass(frozen=True, slots=True)
class DeleteRestore:
    """Delete exactly this VMRestore: its time is over."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Record:
    """Write nothing but the status, and look again."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to write before something else has happened."""

    message: str
    reason: Reason = Reason.WAITING


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left to do, or nothing before a certain time."""

    look_again: datetime | None = None


Step = (
    KeepVolume
    | SetReclaimPolicy
    | AssignVolume
    | CreateClaim
    | DeleteClaim
    | PokeClaim
    | TakeSafetySnapshot
    | DeleteSafetySnapshot
    | MakePair
    | RemovePair
    | StartRestoreJob
    | StartInquiry
    | AdoptSecret
    | DeleteJob
    | CreateObject
    | OwnObject
    | OwnClaim
    | SaveObjects
    | DeleteObject
    | SetRunStrategy
    | StartVM
    | DeleteRestore
    | Record
    | Wait
    | Finished
)
