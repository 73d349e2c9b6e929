"""What the planner of a backup may know: frozen facts, read from the cluster before each decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from safehold.api.hooks import HookPhase
from safehold.api.volumes import ExcludedVolume
from safehold.plan.backup.capture_facts import (
    ClaimFacts,
    ContentFacts,
    ContentPolicy,
    SnapshotFacts,
    VolumeSnapshotFacts,
)
from safehold.plan.backup.changes_facts import BaseFacts, ChangesFacts
from safehold.plan.backup.group.facts import GroupContentFacts, GroupFacts, GroupOffer, MarkedClaim
from safehold.plan.backup.memory_facts import MemoryDumpRef, MemoryFacts, TenantObject
from safehold.plan.backup.pull.facts import PullFacts
from safehold.plan.job import JobFacts, PodFacts
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import TargetFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """One volume of a VM's spec that outlives the VM's run. `claim` is None for a disk that is no claim (hostDisk)."""

    name: str
    claim: str | None
    snapshottable: bool | None
    """What KubeVirt says; None while it has not said anything."""
    reason: str = ""
    claim_labels: Mapping[str, str] | None = None
    """Only looked up before the start of a run, and where they decide what is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """A VirtualMachine, and whether its guest is frozen now."""

    name: str
    uid: str
    disks: tuple[DiskFacts, ...]
    unsaved_disks: tuple[str, ...] = ()
    """Volumes that only the running instance has: hot-plugged without being written into the VM."""
    excluded_by_owner: tuple[str, ...] = ()
    """Names of volumes that the VM's annotation leaves out."""
    excluded: tuple[ExcludedVolume, ...] = ()
    """Disks that the run leaves out; they are not among `disks` any more."""
    own_state: tuple[str, ...] = ()
    """What it keeps in a volume of KubeVirt's own: TPM, EFI."""
    crashed: bool = False
    """Whether the VM's last instance failed, so that its disks are as after a power cut."""
    running: bool = False
    """Whether it has an instance that has not ended."""
    frozen: bool = False
    snapshot_in_progress: str | None = None
    """The VirtualMachineSnapshot that holds the VM now, of whomever."""
    migrating: bool = False
    """Whether a live migration is under way."""
    node: str = ""
    """Where its guest runs; empty when it does not."""
    storage_classes: tuple[str, ...] = ()
    """Of its disks; only looked up before the start of a run, and where they are limited."""
    deleting: bool = False
    """Whether somebody deleted it; KubeVirt stops the guest, and keeps the object while a snapshot holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotClassFacts:
    """A VolumeSnapshotClass."""

    name: str
    driver: str
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackFacts:
    """What volume snapshots of our own could be made of. A claim is None where it is not bound to a CSI volume."""

    claims: Mapping[str, ClaimFacts | None]
    """By the VM's name of the volume."""
    classes: tuple[SnapshotClassFacts, ...]
    preferred_classes: Mapping[str, str] = field(default_factory=dict)
    """By StorageClass: the VolumeSnapshotClass that CDI's StorageProfile names for it."""
    groups: GroupOffer = field(default_factory=GroupOffer)


@dataclass(frozen=True, slots=True)
class FreezeFacts:
    """How long the guest was frozen, as a watch of the VMI saw it."""

    millis: int
    observation: Literal["Observed", "UpperBound"]
    held: bool = True
    """Whether every volume was cut before the thaw. KubeVirt thaws only then; others do not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutcome:
    """How a hook's command ended."""

    succeeded: bool
    exit_code: int | None
    """None when it did not end, or never ran."""
    millis: int
    message: str
    """Why it did not succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFacts:
    """A hook that this controller began, and its outcome once it ended."""

    phase: HookPhase
    name: str
    outcome: HookOutcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneFacts:
    """A claim of ours, made from a pair."""

    name: str
    uid: str
    bound: bool
    deleting: bool
    problem: str = ""
    """What the provisioner says, while it is not bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFacts:
    """What became of one recorded handle: the original content, our pair, and the claim made from it."""

    volume: str
    original: ContentFacts | None
    content: ContentFacts | None
    snapshot: VolumeSnapshotFacts | None
    clone: CloneFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalFacts:
    """A content of KubeVirt's that a run holds by Retain."""

    content: ContentFacts
    policy: ContentPolicy
    """The policy to set back."""
    snapshot_lives: bool
    """Whether the VolumeSnapshot that it is bound to still exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VMSnapshotRef:
    """A VirtualMachineSnapshot that a run made."""

    namespace: str
    name: str
    uid: str
    deleted_at: datetime | None
    """When somebody, as a rule this run, asked for its deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedVolume:
    """A PersistentVolume under a claim of ours that would outlive it: its StorageClass, or a restore, says Retain."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Everything in the cluster that carries the labels of one run, or that its record names."""

    jobs: tuple[str, ...] = ()
    pods: tuple[PodFacts, ...] = ()
    clones: tuple[CloneFacts, ...] = ()
    retained_volumes: tuple[RetainedVolume, ...] = ()
    pair_snapshots: tuple[VolumeSnapshotFacts, ...] = ()
    pair_contents: tuple[ContentFacts, ...] = ()
    originals: tuple[OriginalFacts, ...] = ()
    vm_snapshots: tuple[VMSnapshotRef, ...] = ()
    old_bases: tuple[BaseFacts, ...] = ()
    """Of the run's claims, kept by earlier runs: of no use once this run's point is complete."""
    memory_dumps: tuple[MemoryDumpRef, ...] = ()
    tenant_snapshots: tuple[TenantObject, ...] = ()
    """Our VolumeSnapshots in the VM's namespace."""
    tenant_claims: tuple[TenantObject, ...] = ()
    """Our claims in the VM's namespace."""
    secrets: tuple[str, ...] = ()
    pull_backups: tuple[TenantObject, ...] = ()
    """Our VirtualMachineBackups in the VM's namespace."""
    groups: tuple[TenantObject, ...] = ()
    """Our VolumeGroupSnapshots in the VM's namespace."""
    group_contents: tuple[GroupContentFacts, ...] = ()
    """The contents of groups that the run holds."""
    marked_claims: tuple[MarkedClaim, ...] = ()
    """Claims of the VM that still carry the run's mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFacts:
    """All that a decision about one VMBackup depends on. `leftovers` are read only when the run is over."""

    namespace_uid: str
    namespace_ending: bool
    target: TargetFacts | Refusal
    secrets: Refusal | None = None
    """Why the target's Secrets cannot be used."""
    slot: bool = True
    """Whether the run may be active now."""
    may_freeze: bool = True
    """Whether its guest may be frozen now: its target may limit how many are at once."""
    machine: MachineFacts | None = None
    snapshot: SnapshotFacts | None = None
    """KubeVirt's, or once a fallback is recorded our own ones, in the same shape."""
    fallback: FallbackFacts | None = None
    """Read only after KubeVirt's snapshot failed."""
    group: GroupFacts | None = None
    """Read only once a group is recorded."""
    machine_captured: bool = False
    """Whether the manifests are kept for the run."""
    machine_bytes: int = 0
    freeze: FreezeFacts | None = None
    memory: MemoryFacts | None = None
    """Of a run that wants a memory dump, until it has one."""
    pull: PullFacts | None = None
    """Read where the run may use KubeVirt's own backup."""
    hooks: tuple[HookFacts, ...] = ()
    holds: tuple[HoldFacts, ...] = ()
    changes: ChangesFacts = field(default_factory=ChangesFacts)
    job: JobFacts | None = None
    leftovers: Leftovers = Leftovers()
    forget: JobFacts | None = None
    """The Job that forgets the point of a VMBackup in deletion."""
