"""Which parts of a snapshot's file hold data, and which differ from another's, in blocks of 4 KiB.

Both come in batches, each the result of little work, so that whoever asks can stop in between.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BLOCK_BYTES = 4096
_STEP_BYTES = 8 << 20
"""What a batch looks at: a few milliseconds of work."""

BlockType = Literal["fixed", "variable"]


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a volume, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


def allocated_extents(target: Path, start: int, block_type: BlockType) -> Generator[list[Extent]]:
    """What holds data from the block of `start` on, by SEEK_DATA; a file system without holes has data everywhere."""
    with target.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = _block_start(start)
        while (data := _next_data(file.fileno(), position)) is not None:
            hole = os.lseek(file.fileno(), data, os.SEEK_HOLE)
            position = min(_block_end(hole), data + _STEP_BYTES)
            yield _shaped([Extent(data, position - data)], size, block_type)


def changed_extents(base: Path, target: Path, start: int, block_type: BlockType) -> Generator[list[Extent]]:
    """What differs from the block of `start` on, by reading both where either holds data; behind its end base is 0."""
    with base.open("rb") as before, target.open("rb") as after:
        size = os.fstat(after.fileno()).st_size
        position = _block_start(start)
        while True:
            data = [_next_data(file.fileno(), position) for file in (before, after)]
            position = min((offset for offset in data if offset is not None), default=size)
            if position >= size:
                return
            length = min(_STEP_BYTES, size - position)
            old = os.pread(before.fileno(), length, position).ljust(length, b"\0")
            yield _shaped(_differences(old, os.pread(after.fileno(), length, position), position), size, block_type)
            position += length


def _next_data(file: int, position: int) -> int | None:
    """The first block with data at or behind `position`, or None up to the end."""
    try:
        return max(position, _block_start(os.lseek(file, position, os.SEEK_DATA)))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _differences(old: bytes, new: bytes, offset: int) -> list[Extent]:
    """The blocks that differ, neighbours as one."""
    found: list[Extent] = []
    if old == new:
        return found
    for start in range(0, len(new), BLOCK_BYTES):
        if old[start : start + BLOCK_BYTES] == new[start : start + BLOCK_BYTES]:
            continue
        if found and found[-1].end == offset + start:
            found[-1] = Extent(found[-1].offset, found[-1].length + BLOCK_BYTES)
        else:
            found.append(Extent(offset + start, BLOCK_BYTES))
    return found


def _shaped(extents: list[Extent], size: int, block_type: BlockType) -> list[Extent]:
    """Extents as the driver tells them: block by block, or as long as they are and no longer than the volume."""
    if block_type == "variable":
        return [Extent(extent.offset, min(extent.end, size) - extent.offset) for extent in extents]
    return [
        Extent(offset, BLOCK_BYTES) for extent in extents for offset in range(extent.offset, extent.end, BLOCK_BYTES)
    ]


def _block_start(offset: int) -> int:
    return offset - offset % BLOCK_BYTES


def _block_end(offset: int) -> int:
    return -(-offset // BLOCK_BYTES) * BLOCK_BYTES
