"""What the backup controller can do next."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object
from sandbox.kubevirt.stepping import Wait


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Protects the backup from now on."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Lets a finished backup go."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """The whole new status."""

    status: Object


@dataclass(frozen=True, slots=True)
class AttachClaim:
    """Makes the target claim a utility volume of the guest."""


@dataclass(frozen=True, slots=True)
class DetachClaim:
    """Takes the utility volume away again."""


@dataclass(frozen=True, slots=True)
class StartJob:
    """Freeze, point in time, thaw; `base` is the checkpoint since which changes count. Then the status is written."""

    base: str | None
    status: Object


@dataclass(frozen=True, slots=True)
class AbortJob:
    """Ends the job, after the status says so: a push has failed then, a pull has succeeded."""

    status: Object


@dataclass(frozen=True, slots=True)
class CreateExport:
    """Makes the export of a pull."""

    export: Object


@dataclass(frozen=True, slots=True)
class DeleteExport:
    """Ends the export of a pull."""


@dataclass(frozen=True, slots=True)
class AdvanceTracker:
    """Writes the tracker's latest checkpoint."""

    checkpoint: Object


@dataclass(frozen=True, slots=True)
class Finish:
    """Forgets the job, clears the instance's mirror of it, and writes the final status with its event."""

    status: Object
    event: tuple[str, str, str]
    """Type, reason, message."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing can be done now; the controller tries again, each time later."""

    problem: str


Step = (
    AddFinalizer
    | RemoveFinalizer
    | WriteStatus
    | AttachClaim
    | DetachClaim
    | StartJob
    | AbortJob
    | CreateExport
    | DeleteExport
    | AdvanceTracker
    | Finish
    | Fail
    | Wait
)
