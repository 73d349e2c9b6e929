"""Disks as the engine fills them: nobody can take one that is filled in part for a whole one."""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from safehold.engine.disks.volumes import Extent
from safehold.errors import VolumeError

_BLKZEROOUT = 0x127F
"""ioctl of linux/fs.h: write zeros to a range of a device, for devices that cannot discard."""
_RANGE = struct.Struct("=QQ")
_PUNCH_HOLE = 0x01 | 0x02
"""fallocate: FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE. On a device: discard, where it reads as zeros then."""
_ZERO_STEP_BYTES = 1 << 30
"""A range zeroed by one call, so that a stop is heeded between calls on devices that write the zeros."""
HEAD_BYTES = 4096
"""What is kept back of a disk that is filled in place: without it no partition table or file system is recognised."""
_MARK = b"SAFEHOLD: this disk is filled in part, do not use it\n"
_MOST_PIECES = 512
"""Buffers of one pwritev; Linux takes 1024."""
_PAGE_BYTES = 4096
"""What offsets, lengths and addresses are multiples of where bytes go around the page cache."""
_libc = ctypes.CDLL(None, use_errno=True)


def unfinished(path: Path) -> Path:
    """What a file is called until it is whole."""
    return path.with_name(path.name + ".partial")


class TargetVolume:
    """A disk that is filled. Until `finish` it cannot be taken for a whole one, whatever happens.

    A file is filled under its name with `.partial` behind, and renamed at the end. What is there already and keeps its
    place (`in_place`: devices, and files that stand for one) has a mark where its head belongs until then.
    With `keep` the content stays, to be completed: a file is renamed to the partial one first.
    Whole pages are written around the page cache where the file system can: that spares a copy, and a worker's memory
    limit, of which dirty pages are a part; and they are on the medium at once rather than with the last fsync.
    """

    def __init__(self, path: Path, size_bytes: int, *, in_place: bool = False, keep: bool = False) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._is_device = path.is_block_device()
        self._keep = keep
        self._head = bytearray(min(HEAD_BYTES, size_bytes))
        self.in_place = in_place or self._is_device
        if path.exists() and not self._is_device and not path.is_file():
            raise VolumeError(f"{path} is not a disk", expected="a regular file or a block device")
        self.filling = path if self.in_place else unfinished(path)
        self._around_cache: int | None = None
        try:
            self._descriptor = self._opened()
            self._prepare()
            with suppress(OSError):  # not every file system can
                self._around_cache = os.open(self.filling, os.O_WRONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as problem:
            raise VolumeError(f"The disk {self.filling} cannot be opened to write", found=problem.strerror) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._around_cache is not None:
            os.close(self._around_cache)

    def write(self, pieces: Sequence[bytes | memoryview], offset: int) -> None:
        """Write all of the pieces, one behind the other. Called by several threads."""
        if self.in_place and offset < len(self._head):
            pieces = [self._hold_back(b"".join(pieces), offset)]
            offset = len(self._head)
        try:
            for at in range(0, len(pieces), _MOST_PIECES):
                some = pieces[at : at + _MOST_PIECES]
                offset = self._write_around_cache(some, offset) or self._write(some, offset)
        except OSError as problem:
            raise VolumeError(f"{self.filling} cannot be written at {offset}", found=problem.strerror) from problem

    def reserve(self, extents: Iterable[Extent]) -> None:
        """Give a file the room for what will be written, in as few pieces as it has runs.

        Into room that is there several threads write at once; ext4 finds room for one at a time.
        """
        if self._is_device:
            return
        for extent in extents:
            if _libc.fallocate(self._descriptor, 0, ctypes.c_int64(extent.offset), ctypes.c_int64(extent.length)) == 0:
                continue
            problem = ctypes.get_errno()
            if problem in (errno.EOPNOTSUPP, errno.ENOSYS):
                return  # room is found as it is written
            raise VolumeError(f"{self.filling} cannot be written at {extent.offset}", found=os.strerror(problem))

    def zero(self, extent: Extent) -> None:
        """Make the range read as zeros and, where that can be, take no space."""
        if not self._keep and not self._is_device:
            return  # a file that was emptied is one hole
        if self.in_place and extent.offset < len(self._head):
            self._head[extent.offset : extent.end] = bytes(min(extent.end, len(self._head)) - extent.offset)
            extent = Extent(len(self._head), max(extent.end - len(self._head), 0))
        for offset in range(extent.offset, extent.end, _ZERO_STEP_BYTES):
            length = min(_ZERO_STEP_BYTES, extent.end - offset)
            try:
                self._punch(offset, length)
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
        """Everything is written: make it a whole disk. A power failure leaves a disk that is whole or marked, too."""
        self.flush()
        if not self.in_place:
            self.filling.replace(self.path)
            return
        try:
            self._write([self._head], 0)
        except OSError as problem:
            raise VolumeError(f"{self.filling} cannot be written at 0", found=problem.strerror) from problem
        self.flush()

    def mark(self) -> None:
        """Let nobody take a disk that is filled in place for whole, also after a power failure."""
        self._write([_MARK.ljust(len(self._head), b"\0")[: len(self._head)]], 0)
        os.fsync(self._descriptor)

    def state(self) -> str:
        """What has become of the disk, for an error's sentence."""
        if self.in_place:
            return "it is filled in part, do not use it"
        return f"what there is of it is {self.filling}" if self._keep else f"{self.path} was not touched"

    def _opened(self) -> int:
        if self._keep and not self.in_place and self.path.exists():
            self.path.replace(self.filling)
        flags = os.O_RDWR | os.O_CLOEXEC
        if self._is_device:
            flags |= os.O_EXCL  # a device that is mounted is refused
        elif not self.in_place and not self._keep:
            flags |= os.O_CREAT
        return os.open(self.filling, flags, 0o660)

    def _prepare(self) -> None:
        capacity = self._capacity() if self.in_place else self.size_bytes
        if capacity < self.size_bytes:
            os.close(self._descriptor)
            raise VolumeError(f"{self.path} is too small", expected=f"{self.size_bytes} bytes", found=capacity)
        if not self._is_device:
            if not self._keep:
                os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, capacity)
        if self.in_place:
            self.mark()
            if self._keep:  # compared with the mark there, so what is found equal is equal to the mark
                self._head[:] = os.pread(self._descriptor, len(self._head), 0)

    def _write_around_cache(self, pieces: Sequence[bytes | memoryview], offset: int) -> int | None:
        """Where the pieces end, or None if they have to go through the cache."""
        if self._around_cache is None or offset % _PAGE_BYTES or not all(map(_is_pages, pieces)):
            return None
        try:
            written = os.pwritev(self._around_cache, pieces, offset)
        except OSError as problem:
            if problem.errno == errno.EINVAL:  # the file system says so only now
                return None
            raise
        return offset + written if written == sum(map(len, pieces)) else None

    def _hold_back(self, content: bytes, offset: int) -> bytes:
        held = min(len(self._head) - offset, len(content))
        self._head[offset : offset + held] = content[:held]
        return content[held:]

    def _write(self, pieces: Sequence[bytes | bytearray | memoryview], offset: int) -> int:
        left = sum(len(piece) for piece in pieces)
        while left:
            written = os.pwritev(self._descriptor, pieces, offset)
            left, offset = left - written, offset + written
            if left:
                pieces = [memoryview(b"".join(pieces))[written:]]
        return offset

    def _punch(self, offset: int, length: int) -> None:
        if _libc.fallocate(self._descriptor, _PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
            return
        problem = ctypes.get_errno()
        if problem not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(problem, os.strerror(problem))
        if self._is_device:
            fcntl.ioctl(self._descriptor, _BLKZEROOUT, _RANGE.pack(offset, length))
        else:
            self._write_zeros(offset, length)

    def _write_zeros(self, offset: int, length: int) -> None:
        zeros = bytes(1 << 20)
        end = offset + length
        while offset < end:
            offset = self._write([memoryview(zeros)[: end - offset]], offset)

    def _capacity(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_END)


def _is_pages(piece: bytes | memoryview) -> bool:
    if not isinstance(piece, memoryview) or piece.readonly or not piece or len(piece) % _PAGE_BYTES:
        return False
    return ctypes.addressof(ctypes.c_char.from_buffer(piece)) % _PAGE_BYTES == 0
