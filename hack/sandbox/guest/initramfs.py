"""Writes an initramfs: an uncompressed cpio archive in the "newc" form (unpacking gzip takes seconds in emulation).

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

import os
import stat
import subprocess
from pathlib import Path
from typing import BinaryIO

from sandbox.guest.errors import ImageError

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


class Initramfs:
    """An archive under construction. Parent folders are added as needed; the first content of a path stays."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._names: set[str] = set()

    @property
    def paths(self) -> frozenset[str]:
        """What has been added so far, folders included."""
        return frozenset(self._names)

    def folder(self, path: str) -> None:
        """Adds a folder and its parents."""
        if not path or path in self._names:
            return
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Adds a regular file."""
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def link(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def program(self, path: str, source: Path) -> None:
        """Adds a host program and the shared libraries that ldd names for it, each at its own absolute path."""
        self.file(path, source.read_bytes(), executable=True)
        for library in shared_libraries(source):
            self.file(str(library).lstrip("/"), library.read_bytes(), executable=True)

    def finish(self) -> None:
        """Writes the trailer; nothing may be added afterwards."""
        self._add(_TRAILER, 0, b"")

    def _add(self, name: str, mode: int, content: bytes) -> None:
        if name in self._names:
            return
        self._names.add(name)
        encoded = name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device (two), special device (two), name length, check.
        fields = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = _MAGIC + b"".join(b"%08X" % field for field in fields)
        self._stream.write(_padded(header + encoded) + _padded(content))


def shared_libraries(program: Path, search: Path | None = None) -> list[Path]:
    """The libraries and the loader of a dynamic program, none for a static one; those in `search` win."""
    environment = os.environ | ({"LD_LIBRARY_PATH": str(search)} if search else {})
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        return []
    missing = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("not found")]
    if missing:
        raise ImageError(f"{program.name} needs {', '.join(missing)}, which this machine lacks: install what brings it")
    words = [line.replace("=>", " ").split() for line in done.stdout.splitlines()]
    return [Path(path) for line in words if (path := next((word for word in line if word.startswith("/")), None))]


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
