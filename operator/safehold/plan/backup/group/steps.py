"""What a run may do with a VolumeGroupSnapshot. `safehold.kube.backup.group.hands` carries it out, twice if need be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SelectedClaim:
    """A claim of the VM that is to be cut."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutGroup:
    """Mark the claims, and create the VolumeGroupSnapshot that selects the mark, owned by the VMBackup."""

    namespace: str
    backup: str
    backup_uid: str
    name: str
    class_name: str
    claims: tuple[SelectedClaim, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkClaim:
    """Take the mark of this VMBackup from a claim; somebody else's stays."""

    namespace: str
    name: str
    backup_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldGroup:
    """Set the group's content to Retain and mark it as held by this run."""

    content: str
    resource_version: str
    policy: Literal["Retain", "Delete"]
    """The policy before."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetGroupPolicy:
    """Set a group content's deletionPolicy; `release` also takes the marks of HoldGroup away."""

    content: str
    uid: str
    policy: Literal["Retain", "Delete"]
    release: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveGroup:
    """Delete the VolumeGroupSnapshot; its members, and what its content may delete, go with it."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveGroupContent:
    """Delete a content whose VolumeGroupSnapshot is gone."""

    content: str
    uid: str


GroupStep = CutGroup | UnmarkClaim | HoldGroup | SetGroupPolicy | RemoveGroup | RemoveGroupContent
