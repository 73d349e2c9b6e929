"""The same told changes on disks of any size: what is read, asked of the store, and held. No seconds."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.disks.volumes import Extent
from safehold.engine.geometry import FORMAT_1, GIB, KIB

if TYPE_CHECKING:
    from tests.engine.changed_blocks.conftest import Told
    from tests.engine.conftest import FaultyStore, Laboratory

    from safehold.engine.points.manifest import Manifest

TIB = 1024 * GIB
PIECES = 64


class Sparse:
    """A disk of any size whose chunks are written sparsely: where nothing was, it reads as zeros."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.chunks: dict[int, bytes] = {}
        self.reads: list[int] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, offset: int, content: bytes) -> Extent:
        """Within one chunk; returns what changed."""
        slot, at = divmod(offset, FORMAT_1.chunk_bytes)
        chunk = bytearray(self.chunks.get(slot, bytes(FORMAT_1.chunk_bytes)))
        chunk[at : at + len(content)] = content
        self.chunks[slot] = bytes(chunk)
        return Extent(offset, len(content))

    def data_extents(self) -> Iterator[Extent]:
        """The written chunks."""
        for slot in sorted(self.chunks):
            yield Extent(slot * FORMAT_1.chunk_bytes, FORMAT_1.chunk_bytes)

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Whole chunks."""
        for buffer in buffers:
            for at in range(0, len(buffer), FORMAT_1.chunk_bytes):
                slot = (offset + at) // FORMAT_1.chunk_bytes
                with self._lock:
                    self.reads.append(slot)
                buffer[at : at + FORMAT_1.chunk_bytes] = self.chunks.get(slot, bytes(FORMAT_1.chunk_bytes))
            offset += len(buffer)


@dataclass
class Cost:
    """What one incremental took."""

    chunks_read: list[int]
    requests: int
    store_bytes_read: int
    peak_bytes: int
    stored_bytes: int


def cost_of(
    laboratory: Laboratory, told: type[Told], faulty: type[FaultyStore], size_bytes: int, *, in_runs: bool
) -> Cost:
    """A disk with a little data everywhere, backed up; then 32 changed chunks, backed up as told."""
    laboratory.geometry = FORMAT_1
    disk = Sparse(size_bytes)
    step = size_bytes // PIECES
    for number in range(PIECES):
        disk.write(number * step, number.to_bytes(4) * KIB)
    backed_up(laboratory, disk, None, str(size_bytes), laboratory.store)
    distance = FORMAT_1.chunk_bytes if in_runs else 2 * step
    extents = [disk.write(number * distance, b"changed") for number in range(PIECES // 2)]
    store = faulty(laboratory.store)
    disk.reads.clear()
    tracemalloc.start()
    try:
        manifest = backed_up(laboratory, disk, told(str(size_bytes), extents), "next", store)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    reads = sorted(disk.reads)
    assert manifest.volumes[0].engine == "CSI"
    scanned = backed_up(laboratory, disk, None, "scanned", laboratory.store)
    assert scanned.volumes[0].root == manifest.volumes[0].root
    return Cost(reads, store.calls, store.bytes_read, peak, manifest.volumes[0].statistics.bytes_stored)


def backed_up(laboratory: Laboratory, disk: Sparse, changes: Told | None, checkpoint: str, store: object) -> Manifest:
    """One run over the disk."""
    laboratory.runs += 1
    volume = VolumeInput(name="root", remote=lambda: disk, checkpoint=checkpoint, changes=changes)
    request = BackupRequest(run_id=f"run-{laboratory.runs}", owner=laboratory.owner(), volumes=[volume])
    return back_up(laboratory.domain(store), request, stop=threading.Event())  # type: ignore[arg-type] # either store


@pytest.mark.parametrize("in_runs", [False, True], ids=["scattered", "in runs"])
def test_what_a_told_run_costs_does_not_follow_the_disk(
    laboratory: Laboratory, tmp_path: Path, told: type[Told], faulty: type[FaultyStore], in_runs: bool
) -> None:
    """16 TiB instead of 6 GiB: the same chunks read once, a few more requests, 16 MiB more memory."""
    laboratories = [type(laboratory)(tmp_path) for _ in range(2)]
    small, large = (
        cost_of(each, told, faulty, size, in_runs=in_runs)
        for each, size in zip(laboratories, (6 * GIB, 16 * TIB), strict=True)
    )
    assert len(small.chunks_read) == len(set(small.chunks_read)) == PIECES // 2
    assert len(large.chunks_read) == len(set(large.chunks_read)) == PIECES // 2
    assert large.requests <= small.requests + 4
    assert large.store_bytes_read < small.store_bytes_read + (1 << 20)
    assert large.peak_bytes < small.peak_bytes + (20 << 20)
    assert large.stored_bytes < small.stored_bytes + (1 << 19)
