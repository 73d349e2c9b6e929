"""VMBackup: one backup of one VM. A policy creates them, or a person does."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import (
    MAX_VOLUMES,
    AccessModes,
    ApiModel,
    Bytes,
    Count,
    Failure,
    Name,
    Progress,
    Resource,
    Sentence,
    Status,
    Time,
    Uid,
    VolumeMode,
    Word,
    list_map,
    rules,
)
from safehold.api.capture import MemoryDump, PullCapture, SnapshotHandle
from safehold.api.changed_blocks import ChangedBlocks
from safehold.api.consistency import Consistency
from safehold.api.fallback import FallbackCapture
from safehold.api.hooks import APPLICATION_NEEDS_HOOKS, MAX_HOOKS, HookResult, Hooks
from safehold.api.policy import DeletionPolicy
from safehold.api.references import TargetKind, TargetRef
from safehold.api.volumes import ExcludedVolume, Volumes

ReachedLevel = Literal["Crash", "Offline", "Filesystem", "Application"]
FrozenObservation = Literal["Observed", "UpperBound"]
VolumeRole = Literal["Disk", "MemoryDump", "State"]


def _immutable(field: str) -> dict[str, object]:
    return rules(("self == oldSelf", f"{field} is immutable: a VMBackup is one run; create another one"))


class VMRef(ApiModel):
    """A VirtualMachine of the same namespace."""

    name: Name
    """The VirtualMachine's name."""


class VMBackupSpec(ApiModel):
    """What is backed up, and where to. Immutable, except `hold`, `holdReason` and `deletionPolicy`."""

    model_config = ConfigDict(json_schema_extra=APPLICATION_NEEDS_HOOKS)

    vm: Annotated[VMRef, Field(json_schema_extra=_immutable("vm"))]
    """The VM to back up."""
    target_ref: Annotated[TargetRef, Field(json_schema_extra=_immutable("targetRef"))]
    """Where to."""
    consistency: Annotated[Consistency, Field(json_schema_extra=_immutable("consistency"))] = Consistency()
    """How well quiesced the capture must be."""
    volumes: Annotated[Volumes, Field(json_schema_extra=_immutable("volumes"))] = Volumes()
    """Which disks of the VM are backed up; absent: all."""
    memory_dump: Annotated[bool, Field(json_schema_extra=_immutable("memoryDump"))] = False
    """Whether the point also gets a copy of the guest's memory, dumped by KubeVirt right after the snapshot.

    It is a volume of the restore point for forensics: read it with `safehold volume restore`. No VMRestore brings it
    back. A dump that fails does not fail the backup; `status.memoryDump` says why.
    """
    changed_blocks: Annotated[ChangedBlocks, Field(json_schema_extra=_immutable("changedBlocks"))] = ChangedBlocks()
    """How changed blocks are found."""
    hooks: Annotated[Hooks, Field(json_schema_extra=_immutable("hooks"))] = Hooks()
    """Commands in pods beside the VM, around the capture."""
    hold: bool = False
    """While true the restore point stays, whatever retention says, and this object with it, even if it is deleted.

    A namespace that ends is not held up: it takes the object, and with it the hold.
    """
    hold_reason: Sentence | None = None
    """Why it is held, for those who may want to release it."""
    deletion_policy: DeletionPolicy = "Retain"
    """What happens to the restore point when a person deletes this object.

    Retain: it stays in the target. Delete: it is forgotten. A namespace that ends forgets nothing.
    """


class BackupTargetIdentity(ApiModel):
    """The target that the restore point went to."""

    kind: TargetKind
    """BackupTarget or ClusterBackupTarget."""
    name: Name
    """Its name at the time."""
    uid: Uid
    """Its uid."""
    repository_id: Uid | None = None
    """The identity of the repository in it."""


class ReachedConsistency(ApiModel):
    """How well quiesced the capture is, as it was observed."""

    reached: ReachedLevel
    """Crash: no freeze. Offline: the VM was stopped. Filesystem: the guest agent froze the file systems."""
    reason: Sentence
    """Why not better, or how it was reached."""
    frozen_millis: Count | None = None
    """How long the guest was frozen; absent when unknown."""
    frozen_observation: FrozenObservation | None = None
    """Observed: freeze and thaw were both seen. UpperBound: the guest was frozen for at most that long."""
    skew_millis: Count | None = None
    """How long after the first volume the last one was cut, where nothing held the guest: 0 for a group's one instant.

    Absent where the guest was held.
    """
    indications: Annotated[list[Word], Field(max_length=16)] = Field(default_factory=list)
    """What KubeVirt said about the snapshot, such as Online and GuestAgent."""


class ByteCounts(ApiModel):
    """What was moved, in bytes."""

    bytes_total: Bytes | None = None
    """Size of the disks."""
    bytes_read: Bytes | None = None
    """Read from them."""
    bytes_changed: Bytes | None = None
    """Found changed since the parent point."""
    bytes_uploaded: Bytes | None = None
    """Sent to the target."""
    bytes_stored: Bytes | None = None
    """Kept in the target for this point."""


class VolumeBackup(ByteCounts):
    """One volume of the VM, its claim, and what became of it."""

    name: Word
    """The VM's name of the volume."""
    role: VolumeRole = "Disk"
    """Disk: a volume of the VM. MemoryDump: a copy of its memory, which no VMRestore brings back.

    State: its TPM and EFI variables.
    """
    mode: VolumeMode
    """Whether the claim is a device or a file system with a disk.img."""
    claim_name: Name
    """The PersistentVolumeClaim."""
    claim_uid: Uid
    """Its uid."""
    capacity_bytes: Bytes
    """Its capacity."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """Its StorageClass."""
    access_modes: AccessModes = Field(default_factory=list)
    """Its access modes."""
    engine: Word | None = None
    """How changed blocks were found."""
    engine_reason: Sentence | None = None
    """Why not in a quicker way, or why everything was read."""
    verified_time: Time | None = None
    """When an answer about changed blocks of this volume was last compared with a scan and was right.

    It is carried over from run to run; a volume that was never verified has the time of its first run.
    """
    mismatched_bytes: Bytes | None = None
    """How much of the volume the answer got wrong in this run; the restore point has what the scan found."""
    distrusted: bool = False
    """Whether the last verification found the answer wrong: the volume is scanned until one finds it right."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """How long the worker was at it."""


class BackupSummary(ApiModel):
    """The numbers of this status as people read them; `kubectl get` shows them."""

    progress: Word | None = None
    """While the transfer runs: percent, and the time that is left."""
    frozen: Word | None = None
    """`consistency.frozenMillis`; with ≤ where it is an upper bound."""
    total: Word | None = None
    """`bytesTotal`."""
    read: Word | None = None
    """`bytesRead`."""
    changed: Word | None = None
    """`bytesChanged`."""
    uploaded: Word | None = None
    """`bytesUploaded`."""
    stored: Word | None = None
    """`bytesStored`."""
    duration: Word | None = None
    """From `startTime` to `completionTime`."""


class VMBackupStatus(Status, ByteCounts):
    """What the run observed and did. Its byte counts are the sums over all volumes."""

    start_time: Time | None = None
    """When the run began."""
    not_ready_since: Time | None = None
    """Before it began: since when the run, at its turn, has found its target or the VM not ready."""
    capture_time: Time | None = None
    """The point in time that the restore point holds."""
    completion_time: Time | None = None
    """When the run ended, well or badly."""
    vm_uid: Uid | None = None
    """uid of the VM that was captured."""
    namespace_uid: Uid | None = None
    """uid of its namespace."""
    node_name: Name | None = None
    """Where the guest ran when the run began; limits per node count by it."""
    cluster_id: Uid | None = None
    """uid of the cluster's kube-system namespace."""
    target: BackupTargetIdentity | None = None
    """Where the restore point went to."""
    restore_point: Word | None = None
    """The restore point in the target's repository; absent until it is complete."""
    parent: Word | None = None
    """The restore point that this one was compared with; absent for a full read."""
    engine: Word | None = None
    """How changed blocks were found."""
    consistency: ReachedConsistency | None = None
    """How well quiesced the capture is."""
    fallback: FallbackCapture | None = None
    """Why and how the volumes were cut without KubeVirt, where they were."""
    thaw_time: Time | None = None
    """When Safehold first thawed the guest itself, because KubeVirt had left it frozen."""
    hooks: Annotated[list[HookResult], Field(max_length=2 * MAX_HOOKS)] = Field(default_factory=list)
    """What became of the hooks, in the order in which they run."""
    volumes: Annotated[list[VolumeBackup], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """The VM's volumes."""
    excluded_volumes: Annotated[
        list[ExcludedVolume], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))
    ] = Field(default_factory=list)
    """Disks of the VM that were left out, as `spec.volumes` or the VM's annotation says; the point says so too."""
    memory_dump: MemoryDump | None = None
    """What became of `spec.memoryDump`."""
    progress: Progress | None = None
    """How far the transfer is."""
    summary: BackupSummary | None = None
    """The numbers for people."""
    snapshot_name: Name | None = None
    """The VirtualMachineSnapshot of this run."""
    snapshot_uid: Uid | None = None
    """Its uid."""
    snapshot_error: Sentence | None = None
    """What KubeVirt complained about last while it took the snapshot."""
    job_name: Name | None = None
    """The worker Job in the operator's namespace."""
    handles: Annotated[list[SnapshotHandle], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("volume"))] = (
        Field(default_factory=list)
    )
    """The snapshots that this run holds on to, and what has to be set back."""
    pull: PullCapture | None = None
    """KubeVirt's own backup, where `changedBlocks.engines` begins with KubeVirt."""
    failure: Failure | None = None
    """Why the run failed."""


class VMBackup(Resource):
    """One backup of one VirtualMachine, and the restore point that came of it."""

    kind: str = "VMBackup"
    spec: VMBackupSpec
    status: VMBackupStatus = Field(default_factory=VMBackupStatus)
