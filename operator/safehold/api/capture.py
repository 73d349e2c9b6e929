"""How a VMBackup's run captures: the snapshots, KubeVirt's own backup and the memory dump that it made."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import (
    ApiModel,
    Bytes,
    Name,
    Sentence,
    Time,
    Uid,
    VolumeMode,
    Word,
)

SnapshotDeletionPolicy = Literal["Retain", "Delete"]
MemoryDumpPhase = Literal["Dumping", "Detaching", "Snapshotting", "Captured", "Stored", "Failed"]
Checkpoint = Annotated[str, Field(max_length=253)]


class SnapshotHandle(ApiModel):
    """What is needed to reach one volume's snapshot and to clean up after it.

    Recorded before the first write, so that a run that is interrupted anywhere can be finished or undone.
    """

    volume: Word
    """The VM's name of the volume."""
    volume_snapshot: Name
    """The VolumeSnapshot in the VM's namespace: KubeVirt's, or our own of a fallback."""
    volume_snapshot_uid: Uid
    """Its uid."""
    content: Name
    """The VolumeSnapshotContent that it is bound to."""
    content_uid: Uid
    """Its uid."""
    driver: Word
    """The CSI driver."""
    snapshot_handle: Annotated[str, Field(max_length=4096)]
    """The driver's own name of the snapshot."""
    class_name: Annotated[str, Field(max_length=253)] | None = None
    """The VolumeSnapshotClass."""
    original_deletion_policy: SnapshotDeletionPolicy
    """The content's deletionPolicy before it was set to Retain; it is set back at the end."""
    source_volume_mode: VolumeMode | None = None
    """The mode of the volume that was snapshotted, as the content says."""
    restore_size_bytes: Bytes
    """The least size of a volume made from the snapshot."""
    pair_name: Name
    """Name of our own VolumeSnapshotContent and VolumeSnapshot for the same handle."""
    claim_name: Name
    """Name of our own claim made from them, in the operator's namespace."""
    kept_as_base: bool = False
    """Whether the pair stays after the run: the next one asks what changed since this snapshot."""


class MemoryDump(ApiModel):
    """How the copy of the guest's memory came about, or why there is none."""

    phase: MemoryDumpPhase
    """Dumping, Detaching (from the VM), Snapshotting (the claim), Captured, Stored in the point at last; or Failed."""
    reason: Word | None = None
    """Why it failed; one of docs/reasons.md."""
    message: Sentence | None = None
    """The same for people."""
    start_time: Time
    """When it was asked for."""
    end_time: Time | None = None
    """When the dump was complete, or had failed."""
    claim_name: Name
    """The claim in the VM's namespace that KubeVirt writes to; it is removed with the run."""
    claim_uid: Uid | None = None
    """Its uid."""
    file_name: Annotated[str, Field(max_length=255)] | None = None
    """KubeVirt's name of the file in it: an ELF core of the guest's physical memory."""


class PullCapture(ApiModel):
    """KubeVirt's own backup of the running VM, from which the worker pulls the disks."""

    name: Name | None = None
    """The VirtualMachineBackup, and its scratch claim and token Secret, in the VM's namespace."""
    uid: Uid | None = None
    """The VirtualMachineBackup's uid."""
    tracker: Name | None = None
    """The VirtualMachineBackupTracker, which stays from run to run."""
    instance_uid: Uid | None = None
    """uid of the VirtualMachineInstance that ran."""
    checkpoint: Checkpoint | None = None
    """KubeVirt's name of the point in time."""
    base: Checkpoint | None = None
    """The checkpoint that KubeVirt says the changes since; absent for a full backup."""
    full_reason: Sentence | None = None
    """Why KubeVirt was asked for a full backup."""
    refusal: Sentence | None = None
    """Why a snapshot was taken instead."""
