"""Disks as the engine reads them: a raw image file, or a block device."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from safehold.errors import VolumeError

_DIRECT_BYTES = 4096
"""What offsets and lengths of direct reads are multiples of; no disk in use has larger blocks."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a volume, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


class ReadableDisk(Protocol):
    """A disk that the engine reads, wherever its bytes come from."""

    @property
    def size_bytes(self) -> int:
        """Its length, which does not change while it is read."""
        ...

    def data_extents(self) -> Iterator[Extent]:
        """Where data may be, in order; what lies between reads as zeros."""
        ...

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Fill the buffers, one after the other, from `offset`; called by several threads. Never less than asked."""
        ...


class SourceVolume:
    """A disk that is only read. Its size is taken once: a disk that ends earlier while it is read is an error.

    Whole pages are read past the page cache where the file system can: a disk is read once, and through the cache each
    GiB takes half a second of a core, and memory from whoever else is on the node (docs/performance.md).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            mode = os.fstat(self._descriptor).st_mode
            self._is_file = stat.S_ISREG(mode)
            self.size_bytes = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as problem:
            raise VolumeError(f"The disk {path} cannot be opened", found=problem.strerror) from problem
        if not self._is_file and not stat.S_ISBLK(mode):
            raise VolumeError(f"{path} is not a disk", expected="a regular file or a block device")
        if self.size_bytes == 0:
            raise VolumeError(f"The disk {path} is empty", remedy="an empty disk never becomes a restore point")
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._direct = _open_direct(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._direct is not None:
            os.close(self._direct)

    def data_extents(self) -> Iterator[Extent]:
        """Where data may be, in order; what lies between are holes. A device is one extent.

        A file that has become shorter is an error: what was cut off would look like a hole.
        """
        if not self._is_file:
            yield Extent(0, self.size_bytes)
            return
        position = 0
        while position < self.size_bytes:
            try:
                start = os.lseek(self._descriptor, position, os.SEEK_DATA)
                position = min(os.lseek(self._descriptor, start, os.SEEK_HOLE), self.size_bytes)
            except OSError as problem:
                if problem.errno == errno.ENXIO:  # only holes follow
                    break
                raise VolumeError(f"The disk {self.path} cannot be searched", found=problem.strerror) from problem
            if start >= self.size_bytes:
                break
            yield Extent(start, position - start)
        found = os.fstat(self._descriptor).st_size
        if found < self.size_bytes:
            raise self._ended(found)

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Fill the buffers, one after the other, from `offset`. Called by several threads; fastest into whole pages."""
        wanted = sum(len(buffer) for buffer in buffers)
        try:
            got = self._read_direct(buffers, offset, wanted)
            while got < wanted:
                rest = _behind(buffers, got)
                more = os.preadv(self._descriptor, rest, offset + got)
                if more == 0:
                    break
                got += more
        except OSError as problem:
            raise VolumeError(f"{self.path} cannot be read at {offset}", found=problem.strerror) from problem
        if got < wanted:
            raise self._ended(offset + got)

    def _read_direct(self, buffers: list[memoryview], offset: int, wanted: int) -> int:
        """Read what can be read so; returns the bytes that came. The rest, or all of it, is left to the page cache."""
        if self._direct is None or offset % _DIRECT_BYTES or wanted % _DIRECT_BYTES:
            return 0
        try:
            return os.preadv(self._direct, buffers, offset)
        except OSError as problem:
            if problem.errno == errno.EINVAL:  # buffers, or a disk, with other boundaries
                return 0
            raise

    def _ended(self, found_bytes: int) -> VolumeError:
        return VolumeError(
            f"{self.path} ended while it was read", expected=f"{self.size_bytes} bytes", found=found_bytes
        )

    def drop_cache(self) -> None:
        """Let the next read come from the medium, so that reading back proves something."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _open_direct(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:  # a file system that only reads through the page cache
        return None


def _behind(buffers: list[memoryview], taken: int) -> list[memoryview]:
    rest: list[memoryview] = []
    for buffer in buffers:
        if taken < len(buffer):
            rest.append(memoryview(buffer)[taken:])
        taken = max(0, taken - len(buffer))
    return rest
