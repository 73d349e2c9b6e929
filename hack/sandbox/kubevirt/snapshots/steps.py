"""What the snapshot controller may do next: each step is one write, or one call to the guest."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.stepping import Wait


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Puts the protection on the snapshot."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Lets the deleted snapshot go."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Replaces the snapshot's status."""

    status: Object


@dataclass(frozen=True, slots=True)
class LockSource:
    """Says in the VM's status that this snapshot is in progress, then puts a finalizer on the VM."""


@dataclass(frozen=True, slots=True)
class UnlockSource:
    """Takes the finalizer off the VM, then the word from its status."""


@dataclass(frozen=True, slots=True)
class CreateContent:
    """Creates the VirtualMachineSnapshotContent."""

    content: Object


@dataclass(frozen=True, slots=True)
class DeleteContent:
    """Deletes the content; the garbage collector takes its VolumeSnapshots."""


@dataclass(frozen=True, slots=True)
class ReleaseContent:
    """Takes the finalizer off a content that is being deleted."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Freezes the guest; it thaws by itself after `seconds` (0: never)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Thaw:
    """Thaws the guest."""


@dataclass(frozen=True, slots=True)
class CreateVolumeSnapshots:
    """Creates these VolumeSnapshots, all in one go: the guest is frozen meanwhile."""

    volume_snapshots: Objects


@dataclass(frozen=True, slots=True)
class WriteContentStatus:
    """Replaces the content's status. `missing` are VolumeSnapshots to warn about in events."""

    status: Object
    missing: tuple[str, ...] = ()


Step = (
    AddFinalizer
    | RemoveFinalizer
    | WriteStatus
    | LockSource
    | UnlockSource
    | CreateContent
    | DeleteContent
    | ReleaseContent
    | Freeze
    | Thaw
    | CreateVolumeSnapshots
    | WriteContentStatus
    | Wait
)
