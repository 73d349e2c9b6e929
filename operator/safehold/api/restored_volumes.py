"""The volumes of a VMRestore on their way to the VM, and what their old claims were like."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import (
    AccessModes,
    ApiModel,
    Bytes,
    Name,
    Progress,
    ReclaimPolicy,
    Sentence,
    Uid,
    VolumeMode,
    Word,
)

RestoredRole = Literal["Disk", "State"]
VolumePath = Literal["Snapshot", "Delta", "Full"]


class OwnerRecord(ApiModel):
    """An ownerReference of a claim that is replaced."""

    api_version: Word
    """Group and version of the owner."""
    kind: Word
    """Kind of the owner."""
    name: Name
    """Name of the owner."""
    uid: Uid
    """uid of the owner."""
    controller: bool | None = None
    """Whether the owner is its controller."""
    block_owner_deletion: bool | None = None
    """Whether the owner waits for the claim when it is deleted in the foreground."""


RECORDED_BYTES = 4096
"""Of a claim's annotations, keys and values together: a status has to hold them for every volume of a VM."""
RECORDED_ANNOTATIONS = 64
AnnotationKey = Annotated[str, Field(max_length=317)]


class ClaimRecord(ApiModel):
    """What the claim of the same name is created with again after a swap."""

    uid: Uid
    """uid of the claim that is replaced."""
    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=256)] = Field(
        default_factory=dict
    )
    """Its labels."""
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=RECORDED_BYTES)]], Field(max_length=RECORDED_ANNOTATIONS)
    ] = Field(default_factory=dict)
    """Its annotations, without those that bind it to its volume."""
    left_out_annotations: Annotated[list[AnnotationKey], Field(max_length=RECORDED_ANNOTATIONS)] = Field(
        default_factory=list
    )
    """Annotations that are too large to be recorded; the new claim does not have them."""
    owner_references: Annotated[list[OwnerRecord], Field(max_length=16)] = Field(default_factory=list)
    """Its owners."""


class VolumeRestore(ApiModel):
    """One volume on its way from the repository to the VM.

    It is recorded before each write, so that a restore that is interrupted anywhere can be finished or undone.
    """

    name: Word
    """The VM's name of the volume."""
    role: RestoredRole = "Disk"
    """Disk: a volume of the VM. State: TPM and EFI variables, in a claim that KubeVirt finds by its label."""
    mode: VolumeMode
    """Whether the claim is a device or a file system with a disk.img."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """StorageClass of the new volume."""
    access_modes: AccessModes = Field(default_factory=list)
    """Access modes of the new volume."""
    capacity_bytes: Bytes
    """Size that is asked for."""
    progress: Progress | None = None
    """How far the worker is with it; absent before it begins and after it is verified."""
    bytes_restored: Bytes | None = None
    """What the worker wrote and verified."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """How long the worker was at it."""
    bytes_fetched: Bytes | None = None
    """What the target sent for it."""
    prime_claim: Name
    """The claim in the operator's namespace into which the worker writes."""
    prime_uid: Uid | None = None
    """Its uid."""
    persistent_volume: Name | None = None
    """The new volume."""
    reclaim_policy: ReclaimPolicy | None = None
    """The new volume's reclaim policy before it was set to Retain."""
    claim_name: Name
    """The claim in this namespace that the new volume is handed to."""
    old_persistent_volume: Name | None = None
    """In place: the volume that is replaced. It is kept."""
    old_reclaim_policy: ReclaimPolicy | None = None
    """In place: its reclaim policy before it was set to Retain."""
    old_claim: ClaimRecord | None = None
    """In place: what the claim is created with again."""
    path: VolumePath | None = None
    """How the new volume came to its content.

    Snapshot: made from the point's own snapshot, which still exists. Delta: made from the safety snapshot of the volume
    that is replaced. Both are compared with the point, and what differs is fetched. Full: everything is fetched.
    """
    path_reason: Sentence | None = None
    """Why not by a quicker path."""
    source_snapshot: Name | None = None
    """The VolumeSnapshot in the operator's namespace that the new volume is made from."""
    step: Word | None = None
    """The last step that is known to be done."""
