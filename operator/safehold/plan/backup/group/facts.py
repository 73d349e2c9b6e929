"""What the planner may know of VolumeGroupSnapshots: whether one could be taken, and what became of the run's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ContentPolicy = Literal["Retain", "Delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClassFacts:
    """A VolumeGroupSnapshotClass."""

    name: str
    driver: str
    default: bool
    policy: ContentPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOffer:
    """What a group could be taken with. `obstacle` says why there is none, whatever the classes."""

    classes: tuple[GroupClassFacts, ...] = ()
    obstacle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSnapshotFacts:
    """A VolumeGroupSnapshot."""

    name: str
    uid: str
    created: datetime
    deleting: bool
    selector: Mapping[str, str]
    """The labels by which it selects claims."""
    content: str | None
    """The VolumeGroupSnapshotContent that it says it is bound to."""
    ready: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContentFacts:
    """A VolumeGroupSnapshotContent: of all objects of a group it alone deletes physical snapshots."""

    name: str
    uid: str
    resource_version: str
    driver: str
    policy: ContentPolicy
    group_namespace: str
    group_name: str
    group_uid: str | None
    deleting: bool
    volume_handles: tuple[str, ...]
    """What is cut: fixed when the controller makes the content. Empty for one that was made by hand."""
    handle: str | None = None
    """The driver's own name of the group; its members' contents carry it."""
    cut_at: datetime | None = None
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedClaim:
    """A claim of the VM that carries our mark: the uid of the VMBackup whose group selects it."""

    namespace: str
    name: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """The run's group, what it is bound to, and the claims that carry the run's mark."""

    snapshot: GroupSnapshotFacts | None = None
    content: GroupContentFacts | None = None
    marked: tuple[MarkedClaim, ...] = ()
