"""What is known of a capture: the VM's claims, and the snapshots that were cut of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

VolumeMode = Literal["Block", "Filesystem"]
ContentPolicy = Literal["Retain", "Delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFacts:
    """A claim of the VM and the volume that it is bound to."""

    name: str
    uid: str
    mode: VolumeMode
    capacity_bytes: int
    storage_class: str | None
    access_modes: tuple[str, ...]
    driver: str
    volume_handle: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_affinity: Mapping[str, object] | None = None
    """The volume's required node selector: where it can be reached."""
    mark: str | None = None
    """uid of the VMBackup whose group snapshot selects it now; no label of the tenant's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSnapshotFacts:
    """A CSI VolumeSnapshot."""

    name: str
    namespace: str
    uid: str
    ready: bool
    deleting: bool
    content: str | None
    """The VolumeSnapshotContent that it says it is bound to."""
    claim: str | None
    """The claim that it was cut from; None for one of a pair."""
    owner_uid: str | None
    """uid of its controller: the VirtualMachineSnapshotContent for one of KubeVirt's."""
    restore_size_bytes: int = 0
    error: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFacts:
    """A CSI VolumeSnapshotContent."""

    name: str
    uid: str
    resource_version: str
    driver: str
    handle: str | None
    policy: ContentPolicy
    snapshot_namespace: str
    snapshot_name: str
    snapshot_uid: str | None
    deleting: bool
    class_name: str | None = None
    source_mode: VolumeMode | None = None
    source_volume_handle: str | None = None
    """The volume that was cut; None for a static content."""
    restore_size_bytes: int = 0
    cut_at: datetime | None = None
    """When the driver cut it."""
    error: str = ""
    group_handle: str | None = None
    """The driver's name of the group that it was cut with; such a content deletes nothing by itself."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedVolume:
    """One volume of a VirtualMachineSnapshot: what KubeVirt recorded, and what is there now."""

    name: str
    claim_name: str
    claim_uid: str
    snapshot_name: str
    claim: ClaimFacts | None
    snapshot: VolumeSnapshotFacts | None
    content: ContentFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFacts:
    """A VirtualMachineSnapshotContent: the VM as it was cut."""

    uid: str
    vm_uid: str
    disks: Mapping[str, str]
    """Volume name to claim name, as the captured VM's spec has it."""
    cut_time: datetime | None
    volumes: tuple[CapturedVolume, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """A VirtualMachineSnapshot."""

    name: str
    uid: str
    vm: str
    created: datetime
    deleting: bool
    succeeded: bool
    """The phase; what it cut may not be readable yet."""
    ready: bool
    failure: str | None
    """Why it failed for good; None while it may still succeed."""
    error: str
    """What KubeVirt is retrying after."""
    indications: tuple[str, ...]
    capture: CaptureFacts | None
    """Of its volumes claims and contents are read only once it is ready."""
