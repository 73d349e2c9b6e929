"""A restore point as a VMRestore records it: all that its plan goes by, whoever told it."""

from typing import Annotated

from pydantic import Field

from safehold.api.base import (
    MAX_VOLUMES,
    AccessModes,
    ApiModel,
    Bytes,
    Name,
    NamespaceName,
    Time,
    Uid,
    VolumeMode,
    Word,
    list_map,
)
from safehold.api.references import TargetRef
from safehold.api.vmbackup import ReachedLevel, VolumeRole


class PointVM(ApiModel):
    """The VM that a point is of. The uids decide who owns the point; the names are for people."""

    cluster_id: Uid
    """uid of its cluster's kube-system namespace."""
    namespace: NamespaceName
    """Its namespace."""
    namespace_uid: Uid
    """uid of its namespace."""
    name: Name
    """Its name."""
    uid: Uid
    """Its uid."""


class PointVolume(ApiModel):
    """One volume that a point holds, and what its claim was like."""

    name: Word
    """The VM's name of the volume."""
    role: VolumeRole = "Disk"
    """Disk: a volume of the VM. MemoryDump: a copy of its memory, which no VMRestore brings back.

    State: its TPM and EFI variables.
    """
    mode: VolumeMode
    """Whether the claim was a device or a file system with a disk.img."""
    capacity_bytes: Bytes
    """The claim's capacity."""
    disk_bytes: Bytes | None = None
    """Size of the disk on it; absent while unknown."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """The claim's StorageClass."""
    access_modes: AccessModes = Field(default_factory=list)
    """The claim's access modes."""
    claim_name: Name | None = None
    """The claim's name."""


class RestorePoint(ApiModel):
    """The restore point that was chosen. Who owns it is compared with its sealed manifest before anything is read."""

    id: Word
    """Its id in the repository."""
    capture_time: Time
    """The point in time that it holds."""
    consistency: ReachedLevel | None = None
    """How well quiesced the capture was."""
    verified: bool = False
    """Whether all of its disks were read, so that it rests on nobody's word about what had changed."""
    vm: PointVM
    """The VM that it is of."""
    target_ref: TargetRef
    """The target that holds it."""
    target_namespace: NamespaceName
    """The namespace for which the target was resolved."""
    repository_id: Uid | None = None
    """The identity of the repository that holds it."""
    key_domain: Word | None = None
    """The key domain in which it was found; absent: the one that the target gives its namespace."""
    volumes: Annotated[list[PointVolume], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """Its volumes."""
    excluded_volumes: Annotated[list[Word], Field(max_length=MAX_VOLUMES)] = Field(default_factory=list)
    """Disks of the VM that its backup left out on purpose."""
