"""Claims and persistent volumes as planners see them, and claims to be created."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from safehold.api.base import AccessMode, ReclaimPolicy, VolumeMode
from safehold.api.restored_volumes import OwnerRecord


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """One PersistentVolumeClaim; the uid tells it from another one that has its name later."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimShape:
    """What a claim asks of a volume. Bytes are what it requests."""

    storage_class: str | None
    mode: VolumeMode
    access_modes: tuple[AccessMode, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim as it was read."""

    ref: ClaimRef
    shape: ClaimShape
    phase: str = "Pending"
    volume: str | None = None
    """`spec.volumeName`."""
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[OwnerRecord, ...] = ()
    snapshot: str | None = None
    """What it is made from: for a claim of ours a VolumeSnapshot."""
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A PersistentVolume as it was read. `shape.size_bytes` is its capacity."""

    name: str
    uid: str
    resource_version: str
    shape: ClaimShape
    phase: str
    reclaim_policy: ReclaimPolicy
    claim: ClaimRef | None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_affinity: Mapping[str, object] | None = None
    """The required node selector: where it can be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClaim:
    """A claim to create. With `volume` it waits for exactly that one, with `snapshot` it is made from that."""

    namespace: str
    name: str
    shape: ClaimShape
    volume: str | None = None
    snapshot: str | None = None
    """A VolumeSnapshot of the claim's namespace."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[OwnerRecord, ...] = ()


def misfit(shape: ClaimShape, volume: Volume) -> str | None:
    """Why a claim of that shape must not be bound to the volume; None when it fits.

    The volume controller checks none of this when it follows a uid: it binds a Block claim to a Filesystem volume.
    """
    offered = volume.shape
    if (shape.storage_class or "") != (offered.storage_class or ""):
        return f"its class is {shape.storage_class}, the volume's {offered.storage_class}"
    if shape.mode != offered.mode:
        return f"its mode is {shape.mode}, the volume's {offered.mode}"
    if shape.size_bytes > offered.size_bytes:
        return f"it asks for {shape.size_bytes} bytes, the volume has {offered.size_bytes}"
    if not set(shape.access_modes) <= set(offered.access_modes):
        asked, has = ", ".join(shape.access_modes), ", ".join(offered.access_modes)
        return f"it asks for {asked}, the volume offers {has}"
    return None
