"""Taking an answer in, checked, before a byte of the disk is read: only a complete answer is ever used."""

import threading
from collections.abc import Iterator

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError, InterruptedRunError

_LOOKS = 4096
"""Extents between two looks at `stop`."""


def collect(extents: Iterator[Extent], *, size_bytes: int, chunk_bytes: int, stop: threading.Event) -> TouchedChunks:
    """The chunks that an answer touches; ChangedBlocksError if it is not in order, within the disk, to its end."""
    touched = TouchedChunks(size_bytes, chunk_bytes)
    for number, extent in enumerate(checked(extents, size_bytes)):
        if number % _LOOKS == 0 and stop.is_set():
            raise InterruptedRunError("The run was told to stop")
        touched.add(extent)
    return touched


def checked(extents: Iterator[Extent], size_bytes: int) -> Iterator[Extent]:
    """The extents as they come; ChangedBlocksError at the first that breaks what a source promises."""
    position = 0
    for extent in extents:
        if extent.length <= 0:
            raise ChangedBlocksError(
                "What is said of changed blocks has an empty range", found=f"{extent.length} bytes at {extent.offset}"
            )
        if extent.offset < position:
            raise ChangedBlocksError(
                "What is said of changed blocks has ranges that overlap or are out of order",
                expected=f"an offset from {position} on",
                found=extent.offset,
            )
        if extent.end > size_bytes:
            raise ChangedBlocksError(
                "What is said of changed blocks has a range past the disk's end",
                expected=f"at most {size_bytes}",
                found=extent.end,
            )
        position = extent.end
        yield extent
