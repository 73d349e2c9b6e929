"""What a restore point is to be made of."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from safehold.engine.changed_blocks.port import ChangeSource
from safehold.engine.disks.volumes import ReadableDisk, SourceVolume
from safehold.engine.points.manifest import BaseIdentity, Capture, Owner
from safehold.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInput:
    """A disk to back up, who knows what changed of it, and what to remember of it."""

    name: str
    path: Path | None = None
    """The image file or device; None: `remote` serves the bytes."""
    remote: Callable[[], AbstractContextManager[ReadableDisk]] | None = None
    mode: Literal["Block", "Filesystem"] = "Filesystem"
    role: Literal["Disk", "MemoryDump", "State"] = "Disk"
    claim: dict[str, JsonValue] = field(default_factory=dict)
    source: BaseIdentity | None = None
    checkpoint: str | None = None
    """What the content is called as the base of a later run."""
    changes: ChangeSource | None = None
    """None: the disk is scanned."""
    scan_reason: str = "no changed-block information"
    may_scan: bool = True
    """Otherwise the run fails where `changes` cannot be believed."""
    verify: bool = False
    """Read the whole disk too, and keep what was read wherever `changes` kept silent."""

    def open(self) -> AbstractContextManager[ReadableDisk]:
        """The disk; VolumeError if it cannot be opened."""
        if self.remote:
            return self.remote()
        if self.path is None:
            raise UsageError(f"The volume {self.name} has neither a path nor a remote disk")
        return SourceVolume(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """One restore point to make. `run_id` makes it idempotent: a run that has committed is not made again."""

    run_id: str
    policy: str | None = None
    """uid of the policy whose retention is to decide how long the point stays."""
    policy_name: str = ""
    tier: str = ""
    owner: Owner
    volumes: list[VolumeInput]
    capture: Capture | None = None
    machine: list[dict[str, JsonValue]] = field(default_factory=list)
