"""What the planner may know about changed blocks: who can be asked, what is kept as a base, what was verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataService:
    """A CSI driver's SnapshotMetadata service, as its SnapshotMetadataService object names it."""

    address: str
    audience: str
    authority: str
    """PEM bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFacts:
    """A pair of ours that outlived its run: the one owner of a physical snapshot, to be compared with the next one."""

    name: str
    """Of content and VolumeSnapshot alike."""
    uid: str
    """Of the content."""
    claim_uid: str
    """The VM's claim that was cut."""
    vm_uid: str
    policy_uid: str | None
    """The policy whose run kept it; None for a backup that a person made."""
    driver: str
    handle: str
    created: datetime
    has_snapshot: bool
    """Whether our VolumeSnapshot is there, with which content and physical snapshot go."""
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the VM's last backup says about one volume's answers."""

    verified: datetime | None
    distrusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesFacts:
    """Read right before a worker is started."""

    services: Mapping[str, MetadataService] = field(default_factory=dict)
    """By CSI driver."""
    bases: tuple[BaseFacts, ...] = ()
    """Of the VM's claims."""
    verifications: Mapping[str, Verification] = field(default_factory=dict)
    """By claim uid."""
