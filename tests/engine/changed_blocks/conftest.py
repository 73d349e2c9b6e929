"""Disks whose changes somebody knows, in the laboratory of the engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.changed_blocks.port import ChangedBlocks, ChangeSource, Engine
from safehold.engine.disks.volumes import Extent, ReadableDisk, SourceVolume
from safehold.engine.points.manifest import BaseIdentity, Manifest
from safehold.errors import ChangedBlocksError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

IDENTITY = BaseIdentity(pvc_uid="pvc", volume_handle="handle", driver="driver", capacity_bytes=1 << 20)


@dataclass
class Told:
    """A source that tells what it was given, and remembers what it was asked; `problem` comes after the extents."""

    base: str | None = None
    changes: list[Extent] = field(default_factory=list)
    allocations: list[Extent] = field(default_factory=list)
    problem: Exception | None = None
    engine: Engine = "CSI"
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, size_bytes: int) -> Iterator[ChangedBlocks]:
        """Ready for both questions."""
        assert size_bytes > 0
        yield self

    def changed(self) -> Iterator[Extent]:
        """The given changes."""
        self.asked.append("changed")
        return self._told(self.changes)

    def allocated(self) -> Iterator[Extent]:
        """The given allocations."""
        self.asked.append("allocated")
        return self._told(self.allocations)

    def _told(self, extents: list[Extent]) -> Iterator[Extent]:
        yield from extents
        if self.problem:
            raise self.problem


class WatchedDisk:
    """A disk that counts how often each range was read."""

    def __init__(self, path: Path, ends_at: int | None = None) -> None:
        self._disk = SourceVolume(path)
        self._ends_at = ends_at
        self._lock = threading.Lock()
        self.reads: list[tuple[int, int]] = []
        self.size_bytes = self._disk.size_bytes

    def data_extents(self) -> Iterator[Extent]:
        """Those of the file."""
        return self._disk.data_extents()

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Count, then read; the first time that it is asked for bytes from `ends_at` on, it has none."""
        with self._lock:
            if self._ends_at is not None and offset >= self._ends_at:
                self._ends_at = None
                raise ChangedBlocksError("The data ended early")
            self.reads.append((offset, sum(len(buffer) for buffer in buffers)))
        self._disk.read_into(buffers, offset)

    @contextmanager
    def open(self) -> Iterator[ReadableDisk]:
        """Itself, for one run."""
        with self._disk:
            yield self


@dataclass
class ChangingVM:
    """A VM with one disk, whose points follow each other."""

    laboratory: Laboratory
    disk: WatchedDisk | None = None
    ends_at: int | None = None

    def back_up(
        self,
        content: bytes,
        changes: ChangeSource | None = None,
        *,
        checkpoint: str | None = None,
        source: BaseIdentity | None = IDENTITY,
        verify: bool = False,
        may_scan: bool = True,
    ) -> Manifest:
        """One run over a disk of this content."""
        self.disk = WatchedDisk(self.laboratory.disk(content), self.ends_at)
        volume = VolumeInput(
            name="root",
            remote=self.disk.open,
            source=source,
            checkpoint=checkpoint,
            changes=changes,
            verify=verify,
            may_scan=may_scan,
        )
        self.laboratory.runs += 1
        request = BackupRequest(run_id=f"run-{self.laboratory.runs}", owner=self.laboratory.owner(), volumes=[volume])
        return back_up(self.laboratory.domain(), request, stop=threading.Event())

    @property
    def reads(self) -> list[tuple[int, int]]:
        """Offset and length of what the last run has read, in order."""
        assert self.disk is not None
        return sorted(self.disk.reads)


@pytest.fixture
def told() -> type[Told]:
    """The source of changed blocks."""
    return Told


@pytest.fixture
def vm(laboratory: Laboratory) -> ChangingVM:
    """A new VM in a new laboratory."""
    return ChangingVM(laboratory)
