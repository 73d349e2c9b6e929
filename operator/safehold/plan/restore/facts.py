"""All that the planner of a restore may know about the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from safehold.api import VMBackup, VMRestore
from safehold.api.base import VolumeMode
from safehold.api.capture import SnapshotHandle
from safehold.api.restore_point import RestorePoint
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.job import JobFacts
from safehold.plan.refusal import Refusal
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.plan.restore.volumes.handover import SeenVolume
from safehold.plan.storage import Claim
from safehold.plan.target.use import TargetFacts
from safehold.plan.tenancy import NamespaceFacts

ObjectKey = tuple[str, str]
"""Kind and name of an object of the restore's namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VMFacts:
    """The VM that a restore is about, as observed."""

    uid: str
    run_strategy: str
    """`spec.runStrategy`, or what `spec.running` means."""
    is_active: bool
    """Whether an instance of it exists, also one that is ending or has ended: it holds the volumes."""
    is_running: bool
    """Whether the guest runs, or is about to."""
    snapshot: str | None = None
    """The VirtualMachineSnapshot that is being taken of it; KubeVirt refuses to stop or start it meanwhile."""
    restored_by: str | None = None
    """uid of the VMRestore that created it."""
    deleting: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    """Volume name → claim name, of the volumes that are claims, and of its TPM and EFI state."""
    node_selector: Mapping[str, object] | None = None
    """What its template asks of nodes; None when it may run anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedObject:
    """An object of the restore's namespace that this restore created."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a bucket says about a restore point."""

    point: RestorePoint
    objects: Sequence[Mapping[str, Any]] = field(repr=False)
    """The VM and what it needs, as they were. Secrets among them: never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryFacts:
    """The worker that looks into the bucket before a restore is admitted, and its answer."""

    job: JobFacts | None = None
    has_secret: bool = False
    """After a failure: whether its Secret is there, which a start that was cut short leaves without a Job."""
    answer: Answer | Refusal | None = None
    """None before it has answered, and after the admission."""
    owner_namespace: NamespaceFacts | None = None
    """The Namespace that has the name of the point's own now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSnapshot:
    """The snapshot that a point was read from, kept in the operator's namespace."""

    name: str
    """Of the VolumeSnapshot."""
    driver: str
    restore_size_bytes: int
    mode: VolumeMode | None = None
    """Of the volume that was snapshotted, as the content says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What a volume can be made from, beside fetching all of it."""

    driver: str | None = None
    """Of the new volume's StorageClass."""
    own: OwnSnapshot | None = None
    safety: SnapshotHandle | Refusal | None = None
    """The replaced volume in the safety snapshot; refused if its objects cannot be believed."""
    has_pair: bool = False
    """Whether our pair for that is there, or half of it."""
    pair_since: datetime | None = None
    """Since when the pair is whole; None while a half is missing."""
    pair_ready: bool = False
    pair_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRestore:
    """The cluster around one VMRestore. What a stage does not need yet, or any more, is left empty."""

    cluster_id: str
    operator_namespace: str
    namespace: NamespaceFacts
    """The restore's own."""
    namespace_ending: bool = False
    source: NamespaceFacts | None = None
    backups: Sequence[VMBackup] = ()
    """Before a point is chosen: all that may be meant."""
    source_vm_uid: str | None = None
    """uid of the VM that has the source's name now."""
    target: TargetFacts | Refusal | None = None
    """The target of the chosen point, or of the bucket that is asked for it."""
    has_service_account: bool = True
    """Whether the ServiceAccount that the restore names exists."""
    storage_classes: frozenset[str] = frozenset()
    vm: VMFacts | None = None
    """The VM to restore, or that was created."""
    live_claims: Mapping[str, Claim] = field(default_factory=dict)
    """Before it begins, by name: the VM's claims in place, else those that have the names of the new ones."""
    state_claim: str | None = None
    """Before a new VM is made: a claim that KubeVirt would take for its TPM and EFI state."""
    kept_volumes: Mapping[str, Mapping[str, object] | None] = field(default_factory=dict)
    """In place, while the worker is to be started: where each volume that the VM keeps can be reached."""
    others: Sequence[VMRestore] = ()
    """In place, before it or its undo begins: the other VMRestores of the namespace."""
    volumes: Mapping[str, SeenVolume] = field(default_factory=dict)
    """By the VM's name of the volume."""
    inquiry: InquiryFacts = InquiryFacts()
    safety: SnapshotFacts | None = None
    """The VirtualMachineSnapshot of the stopped VM, while it is being taken, or to be removed."""
    ways: Mapping[str, Ways] = field(default_factory=dict)
    """By the VM's name of the volume, until the volumes are handed over."""
    job: JobFacts | None = None
    run_secret: bool = False
    """After a failure: whether the run's Secret is there, which a start that was cut short leaves without a Job."""
    objects: Sequence[Mapping[str, Any]] | Refusal | None = field(default=None, repr=False)
    """What the worker recalled of the VM and its dependencies; None before it has."""
    existing: Mapping[ObjectKey, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Objects in the restore's namespace that have the names of dependencies."""
    saved: Mapping[ObjectKey, Mapping[str, Any]] | None = field(default=None, repr=False)
    """What this restore keeps of objects that it replaces; None while nothing is kept."""
    missing: Sequence[str] = ()
    """Cluster-wide objects that the new VM names and that do not exist."""
    around: Surroundings | None = None
    """Before it begins: what its plan looks at beside the VM and its volumes."""
    created: Sequence[CreatedObject] = ()
    """After a failure: what this restore made in its namespace, beside claims."""
