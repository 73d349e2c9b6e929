"""What a worker Job answers: JSON lines on stdout while it runs, and a `RunReport` as its termination message."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from safehold.message import Message

EXIT_FAILED = 1
"""The worker's exit code after a failure that another attempt may not meet."""
EXIT_REFUSED = 3
"""The worker's exit code after a failure that every attempt would meet: the Job ends at once (podFailurePolicy)."""
REPORT_LIMIT_BYTES = 3 * 1024
"""Kubernetes keeps 4 KiB of a termination message; a report stays under 3 KiB so that its end is never cut."""


class Engine(StrEnum):
    """How the changed blocks of a volume were found."""

    SCAN = "Scan"
    CSI = "CSI"
    KUBEVIRT = "KubeVirt"


class VolumeReport(Message):
    """What happened to one volume. Bytes: of the disk, read, found changed, sent, kept in the store for this run."""

    name: str
    engine: Engine = Engine.SCAN
    engine_reason: str = ""
    bytes_total: int
    bytes_read: int = 0
    bytes_changed: int = 0
    bytes_uploaded: int = 0
    bytes_stored: int = 0
    bytes_fetched: int = 0
    """Of a restore: what the store sent."""
    seconds: float = 0.0
    verified: bool = False
    """All of the disk was read to see whether the engine had told the truth."""
    mismatched_bytes: int = 0
    """What the engine had kept silent about; the point is right all the same."""


class MaintenanceReport(Message):
    """What a MaintainRun found and did."""

    points: int = 0
    """That there are now."""
    ungoverned: int = 0
    """Of them, those that no retention rule decides about."""
    of_gone_policies: int = 0
    """Of the ungoverned, those whose policy does not exist any more."""
    of_gone_machines: int = 0
    """Of them, those of VMs that do not exist any more."""
    forgotten: int = 0
    freed_bytes: int = 0
    """Of packs that were deleted."""
    compacted: bool = False
    """Whether sparse packs were rewritten too."""
    condemned_bytes: int = 0
    """Of packs that will be deleted 49 hours later or more."""
    newly_gone: list[str] = Field(default_factory=list, max_length=16)
    """uids of VMs that are gone, have points under `after_vm_deleted: Delete`, and not among `gone`; some of all."""
    emptied: list[str] = Field(default_factory=list, max_length=16)
    """uids out of `gone` that have no point any more; some of all."""
    lines: int = Field(default=0, ge=0)
    """How many `RetentionLine`s the log ends with."""


class RunReport(Message):
    """The Job's termination message."""

    run_id: str
    verb: str
    succeeded: bool
    reason: str
    message: str
    restore_point: str | None = None
    parent: str | None = None
    volumes: list[VolumeReport] = Field(default_factory=list)
    volumes_in_log: int = Field(default=0, ge=0, le=1024)
    """How many volumes follow as `VolumeLine`s at the log's end, because they do not fit into the message."""
    repository_id: str | None = None
    """Of a target run: the repository's identity, so that a swapped bucket is noticed."""
    seconds: float = 0.0
    maintenance: MaintenanceReport | None = None
    """Of a MaintainRun."""


class RetentionLine(Message):
    """A line on stdout at the end of a MaintainRun: a point that was forgotten, or that will go next."""

    kind: Literal["retention"] = "retention"
    run_id: str
    policy: str
    """uid of the policy whose rules decided."""
    tier: str = ""
    """Its tier, where that has rules of its own."""
    namespace: str
    vm: str
    restore_point: str
    captured: datetime
    at: datetime
    """When it was forgotten, or the run or moment from which on it is let go."""
    reason: str
    forgotten: bool


class VolumeLine(Message):
    """A line on stdout at the end of a run: one volume of a report that is too long for a termination message."""

    kind: Literal["volume"] = "volume"
    run_id: str
    volume: VolumeReport


class VolumeProgress(Message):
    """How far the worker is with one volume."""

    name: str
    bytes_done: int
    bytes_total: int


class Progress(Message):
    """A line on stdout, at most one a second."""

    kind: Literal["progress"] = "progress"
    run_id: str
    bytes_done: int
    bytes_total: int
    seconds: float | None = None
    """Since the transfer began, by the worker's clock: what came before says nothing about its speed."""
    volume: VolumeProgress | None = None
    """Of a restore: the volume that is being filled; those before it in the run are whole."""


class SealedMachine(Message):
    """A line on stdout of a restore: a part of the VM's manifest, sealed and opened by `safehold.envelope`."""

    kind: Literal["machine"] = "machine"
    run_id: str
    part: int
    parts: int
    sealed: str
    """base64 of one part; parts are joined before they are opened."""
