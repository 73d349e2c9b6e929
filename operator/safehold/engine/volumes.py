"""Disks as the engine reads and writes them: a raw image file, or a block device."""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safehold.errors import VolumeError

_BLKZEROOUT = 0x127F
"""ioctl of linux/fs.h: zero a range of a device, by discarding where the device promises zeros then."""
_RANGE = struct.Struct("=QQ")
_ZERO_STEP_BYTES = 1 << 30
"""A range zeroed by one call, so that a stop is heeded between calls on devices that write the zeros."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a volume, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


class SourceVolume:
    """A disk that is only read. Its size is taken once: a disk that ends earlier while it is read is an error."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

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
        """Fill the buffers, one after the other, from `offset`. Called by several threads."""
        wanted = sum(len(buffer) for buffer in buffers)
        try:
            got = os.preadv(self._descriptor, buffers, offset)
            while 0 < got < wanted:
                rest = _behind(buffers, got)
                more = os.preadv(self._descriptor, rest, offset + got)
                if more == 0:
                    break
                got += more
        except OSError as problem:
            raise VolumeError(f"{self.path} cannot be read at {offset}", found=problem.strerror) from problem
        if got < wanted:
            raise self._ended(offset + got)

    def _ended(self, found_bytes: int) -> VolumeError:
        return VolumeError(
            f"{self.path} ended while it was read", expected=f"{self.size_bytes} bytes", found=found_bytes
        )

    def drop_cache(self) -> None:
        """Let the next read come from the medium, so that reading back proves something."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _behind(buffers: list[memoryview], taken: int) -> list[memoryview]:
    rest: list[memoryview] = []
    for buffer in buffers:
        if taken < len(buffer):
            rest.append(memoryview(buffer)[taken:])
        taken = max(0, taken - len(buffer))
    return rest


class TargetVolume:
    """A disk that is filled: in place, or, if it is a file of its own, beside its final name, which `finish` gives it.

    `in_place` is for devices, and for files that stand for one: they are there already and keep their size.
    """

    def __init__(self, path: Path, size_bytes: int, *, in_place: bool = False) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._is_device = path.is_block_device()
        self.in_place = in_place or self._is_device
        if path.exists() and not self._is_device and not path.is_file():
            raise VolumeError(f"{path} is not a disk", expected="a regular file or a block device")
        self.filling = path if self.in_place else path.with_name(path.name + ".partial")
        # Exclusive, a device that is mounted is refused.
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if self._is_device else 0 if self.in_place else os.O_CREAT)
        try:
            self._descriptor = os.open(self.filling, flags, 0o660)
            self._make_empty()
        except OSError as problem:
            raise VolumeError(f"The disk {self.filling} cannot be opened to write", found=problem.strerror) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, content: bytes | memoryview, offset: int) -> None:
        """Write all of it. Called by several threads."""
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as problem:
            raise VolumeError(f"{self.filling} cannot be written at {offset}", found=problem.strerror) from problem

    def zero(self, extent: Extent) -> None:
        """Make the range read as zeros. A file was emptied and has holes there; a device may hold old data."""
        if not self._is_device:
            return
        for offset in range(extent.offset, extent.end, _ZERO_STEP_BYTES):
            length = min(_ZERO_STEP_BYTES, extent.end - offset)
            try:
                fcntl.ioctl(self._descriptor, _BLKZEROOUT, _RANGE.pack(offset, length))
            except OSError as problem:
                raise VolumeError(f"{self.path} cannot be zeroed at {offset}", found=problem.strerror) from problem

    def zero_behind_disk(self) -> None:
        """Zero what a larger device has behind the disk's end."""
        self.zero(Extent(self.size_bytes, self._capacity() - self.size_bytes))

    def flush(self) -> None:
        """Wait until everything is on the medium."""
        try:
            os.fsync(self._descriptor)
        except OSError as problem:
            raise VolumeError(f"{self.filling} could not be written to its end", found=problem.strerror) from problem

    def finish(self) -> None:
        """Give the filled file its final name; until here nobody can take it for a whole disk."""
        if not self.in_place:
            self.filling.replace(self.path)

    def _capacity(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def _make_empty(self) -> None:
        capacity = self._capacity() if self.in_place else self.size_bytes
        if capacity < self.size_bytes:
            os.close(self._descriptor)
            raise VolumeError(f"{self.path} is too small", expected=f"{self.size_bytes} bytes", found=capacity)
        if not self._is_device:
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, capacity)
