"""A folder's archive, unpacked where nothing in it can do harm.

The archive's names come from a disk that may be hostile. It is unpacked into a new folder that holds nothing but what
was made here, and links are made last, so no name leads through one; names that lead out are refused.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from safehold.errors import GuestFileError, UsageError, VolumeError
from safehold.files.names import printable

_PERMISSIONS = 0o777
"""What is kept of a mode: a file that runs as its owner is nothing to get from a stranger."""
_COPY_BYTES = 1024 * 1024
_LATEST = 1 << 62
"""Nanoseconds of Unix time that a time of a file is cut to: the year 2116."""


@dataclass(slots=True)
class Unpacked:
    """What came out of an archive."""

    files: int = 0
    size_bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    """What was not made, with the reason, in printable words."""


class PulledStream:
    """Pieces as a file that tarfile reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end only."""
        taken = bytearray()
        while len(taken) < size:
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
                if not self._rest:
                    break
            wanted = size - len(taken)
            taken += self._rest[:wanted]
            self._rest = self._rest[wanted:]
        return bytes(taken)

    def drain(self) -> None:
        """Take what is left, so that whoever sends it comes to an end, and tells if it did not."""
        for _ in self._pieces:
            pass


def unpack(pieces: Iterator[bytes], folder: Path) -> Unpacked:
    """Make `folder`, which must not exist, what the archive says; it has its name only when all is there.

    Modes and times are kept, owners are not. Devices, pipes and sockets are left out, and links that lead out of it.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already", remedy="choose another name with --to")
    unfinished = _unfinished(folder)
    stream = PulledStream(pieces)
    try:
        unfinished.mkdir(mode=0o700)
        unpacking = _Unpacking(unfinished)
        with _opened(stream) as archive:
            for member in archive:
                unpacking.take(archive, member)
        stream.drain()
        unpacking.finish()
        unfinished.rename(folder)
    except tarfile.TarError as problem:
        stream.drain()
        raise GuestFileError("What came of the folder is no whole archive", found=type(problem).__name__) from problem
    except OSError as problem:
        raise VolumeError(f"{folder} cannot be written", found=problem.strerror) from problem
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return unpacking.done


def write_file(pieces: Iterator[bytes], path: Path, *, mode: int = 0o644, modified: int | None = None) -> int:
    """Make a file of the pieces; returns its length. It has its name only when it is whole."""
    unfinished = _unfinished(path)
    size_bytes = 0
    try:
        with _created(unfinished) as file:
            for piece in pieces:
                size_bytes += _write(file, piece)
            file.truncate(size_bytes)
        unfinished.chmod(mode & _PERMISSIONS)
        if modified is not None:
            _date(unfinished, modified)
        unfinished.rename(path)
    except OSError as problem:
        raise VolumeError(f"{path} cannot be written", found=problem.strerror) from problem
    finally:
        unfinished.unlink(missing_ok=True)
    return size_bytes


def _unfinished(path: Path) -> Path:
    return path.with_name(f".safehold-{os.getpid()}.partial")


def _created(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _write(file: IO[bytes], piece: bytes) -> int:
    """Zeros become a hole: a guest's sparse file takes no more room here than there."""
    if piece.count(0) == len(piece):
        file.seek(len(piece), os.SEEK_CUR)
        return len(piece)
    return file.write(piece)


def _opened(stream: PulledStream) -> tarfile.TarFile:
    source = cast("IO[bytes]", stream)  # of a file, tarfile only needs `read` here
    return tarfile.open(fileobj=source, mode="r|", bufsize=_COPY_BYTES, encoding="utf-8", errors="surrogateescape")


class _Unpacking:
    def __init__(self, root: Path) -> None:
        self.done = Unpacked()
        self._root = root
        self._folders: list[tuple[Path, tarfile.TarInfo]] = []
        self._links: list[tuple[Path, tarfile.TarInfo]] = []

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make one thing of the archive, unless it is a link, whose turn comes later."""
        path = self._place(member.name)
        if path is None:
            self._leave_out(member, "its name leads out of the folder")
        elif member.isdir():
            path.mkdir(mode=0o700, exist_ok=path == self._root)
            self._folders.append((path, member))
        elif member.isreg():
            self._write(archive, member, path)
        elif member.islnk() or member.issym():
            self._links.append((path, member))
        else:
            self._leave_out(member, "it is no file, folder or link")

    def finish(self) -> None:
        """Make the links, and give folders their modes and times, from the deepest on."""
        for path, member in self._links:
            if member.islnk():
                self._link_hard(path, member)
            elif self._stays_inside(path, member.linkname):
                path.symlink_to(member.linkname)
            else:
                self._leave_out(
                    member, f"the link leads out of the folder, to {printable(os.fsencode(member.linkname))}"
                )
        for path, member in sorted(self._folders, key=lambda each: len(each[0].parts), reverse=True):
            _date(path, int(member.mtime))
            path.chmod(member.mode & _PERMISSIONS)

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        source = archive.extractfile(member)
        assert source is not None
        with _created(path) as file:
            while piece := source.read(_COPY_BYTES):
                _write(file, piece)
            file.truncate(member.size)
        path.chmod(member.mode & _PERMISSIONS)
        _date(path, int(member.mtime))
        self.done.files += 1
        self.done.size_bytes += member.size

    def _link_hard(self, path: Path, member: tarfile.TarInfo) -> None:
        """Another name of a file that is here already; links do not exist yet, so none is followed."""
        source = self._place(member.linkname)
        if source is None or not source.is_file() or source.is_symlink():
            self._leave_out(member, "it is another name of a file that is not in the folder")
            return
        os.link(source, path, follow_symlinks=False)
        self.done.files += 1

    def _place(self, name: str) -> Path | None:
        parts = PurePosixPath(name).parts
        return None if ".." in parts or "\0" in name or name.startswith("/") else self._root.joinpath(*parts)

    def _stays_inside(self, path: Path, target: str) -> bool:
        """Whether a link leads nowhere but into the folder, whatever other links are there.

        Steps upwards count from the link's own folder, which is a real one; behind another link they would not.
        """
        steps = PurePosixPath(target).parts
        upwards = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
        depth = len(path.parts) - len(self._root.parts) - 1
        is_plain = bool(target) and "\0" not in target and not target.startswith("/")
        return is_plain and upwards <= depth and ".." not in steps[upwards:]

    def _leave_out(self, member: tarfile.TarInfo, why: str) -> None:
        self.done.left_out.append(f"{printable(os.fsencode(member.name))}: {why}")


def _date(path: Path, seconds: int) -> None:
    """Give it the time of its last change, as far as this system can count."""
    nanoseconds = max(-_LATEST, min(seconds * 1_000_000_000, _LATEST))
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
