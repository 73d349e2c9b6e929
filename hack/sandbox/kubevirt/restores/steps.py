"""What the restore controller may do next."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.stepping import Wait


@dataclass(frozen=True, slots=True)
class Adopt:
    """Puts the protection on the restore, and makes an existing target its owner."""

    owner: Object | None


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Lets the deleted restore go."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Replaces the restore's status, and tells it in an event (type, reason, message) where there is one to tell."""

    status: Object
    event: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class MarkTarget:
    """Says in the target's status which restore is in progress, or that none is."""

    name: str | None


@dataclass(frozen=True, slots=True)
class StopTarget:
    """Halts the target."""


@dataclass(frozen=True, slots=True)
class DeleteClaims:
    """Deletes claims that are to be replaced under their names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateClaims:
    """Creates claims whose source is a VolumeSnapshot."""

    claims: Objects


@dataclass(frozen=True, slots=True)
class CreateTarget:
    """Creates the VM."""

    vm: Object


@dataclass(frozen=True, slots=True)
class UpdateTarget:
    """Replaces the VM's spec and annotations."""

    vm: Object


Step = (
    Adopt
    | RemoveFinalizer
    | WriteStatus
    | MarkTarget
    | StopTarget
    | DeleteClaims
    | CreateClaims
    | CreateTarget
    | UpdateTarget
    | Wait
)
