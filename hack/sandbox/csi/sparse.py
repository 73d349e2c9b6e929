"""Copies of files and folders that share blocks where the file system can, and keep holes everywhere."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

_FICLONE = 0x40049409  # ioctl of linux/fs.h
_NO_REFLINK = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}


def copy_file(source: str | Path, target: str | Path) -> None:
    """A reflink if possible, else a copy of the data extents only; owner and mode are kept."""
    with Path(source).open("rb") as reader, Path(target).open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            _copy_extents(reader.fileno(), writer.fileno())
        status = os.fstat(reader.fileno())
        os.fchown(writer.fileno(), status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def copy_tree(source: Path, target: Path) -> None:
    """A folder with everything in it: sparse files, links, owners and modes."""
    shutil.copytree(source, target, symlinks=True, copy_function=copy_file)
    for folder, _, _ in os.walk(source):
        status = Path(folder).stat()
        os.chown(target / Path(folder).relative_to(source), status.st_uid, status.st_gid)


def _copy_extents(reader: int, writer: int) -> None:
    size = os.fstat(reader).st_size
    os.ftruncate(writer, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(reader, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        position = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start, position)


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(reader, writer, end - start, start, start)
        if copied == 0:  # the source was truncated meanwhile
            return
        start += copied
