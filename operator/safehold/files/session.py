"""A restore point whose files can be read: disks, export and appliance together."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from safehold.engine.access.disk import PointDisk
from safehold.engine.points.manifest import Manifest
from safehold.engine.repository import Domain
from safehold.errors import GuestFileError, SafeholdError, UsageError
from safehold.files.entries import Entry, find_entry, list_folder, real_path
from safehold.files.export import DiskExport
from safehold.files.file_systems import FileSystem, described, find_file_systems, mount_all, mount_one
from safehold.files.guestfish import Guestfish
from safehold.files.names import printable
from safehold.files.programs import find_programs

_FOLDER_BYTES = 90
"""Of the folder with the sockets, whose own names have 107 at most."""


class PointFiles:
    """The files of some disks of a point. Opening it boots libguestfs's appliance: seconds, with KVM; else up to 20.

    Nothing is written anywhere but to temporary files: the appliance has each disk under an overlay, so that journals
    can be replayed. One thread uses it.
    """

    def __init__(self, domain: Domain, manifest: Manifest, volumes: Sequence[str]) -> None:
        self._domain = domain
        self._manifest = manifest
        self._volumes = volumes
        self._programs = find_programs()
        self._open = ExitStack()
        self._found: list[FileSystem] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            folder = Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="safehold-")))
            _refuse_long(folder)
            disks = [opening.enter_context(PointDisk(self._domain, self._manifest, name)) for name in self._volumes]
            self._export = opening.enter_context(DiskExport(disks, folder, self._programs))
            self._fish = opening.enter_context(Guestfish(self._programs, folder))
            with self._telling_causes():
                for number in range(len(disks)):
                    self._attach(number)
                self._fish.run("run")
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def file_systems(self) -> list[FileSystem]:
        """All file systems of the disks."""
        with self._telling_causes():
            return [described(self._fish, each) for each in self._file_systems()]

    def mount(self, partition: str | None) -> list[str]:
        """Mount the file system of that name, or all as the guest has them, in place of what is mounted.

        Returns sentences about what could not be mounted.
        """
        with self._telling_causes():
            self._fish.run("umount-all")
            found = self._file_systems()
            if partition is None:
                return mount_all(self._fish, found)
            mount_one(self._fish, found, partition)
            return []

    def entry(self, path: bytes) -> Entry:
        """What lies at a path, from the root of what is mounted."""
        with self._telling_causes():
            return find_entry(self._fish, _absolute(path))

    def below(self, folder: bytes, *, recursive: bool = False) -> Iterator[Entry]:
        """What lies in a folder."""
        with self._telling_causes():
            yield from list_folder(self._fish, _absolute(folder), recursive=recursive)

    def read(self, path: bytes) -> Iterator[bytes]:
        """A file's content, piece by piece; to be read to its end."""
        yield from self._streamed("download", _absolute(path), self._fish.output)

    def archive(self, folder: bytes) -> Iterator[bytes]:
        """A folder and all below it as a tar archive, with numeric owners; to be read to its end."""
        with self._telling_causes():
            place = real_path(self._fish, _absolute(folder))
        yield from self._streamed("tar-out", place, self._fish.output, "numericowner:true")

    def _file_systems(self) -> list[FileSystem]:
        """Looked for once: without KVM that takes seconds, and the disks do not change."""
        if self._found is None:
            self._found = find_file_systems(self._fish, self._volumes)
        return self._found

    def _streamed(self, command: str, *arguments: str | bytes) -> Iterator[bytes]:
        with self._telling_causes():
            yield from self._fish.stream(command, *arguments)

    def _attach(self, number: int) -> None:
        place = ("protocol:nbd", f"server:unix:{self._export.socket}")
        self._fish.run("add-drive", str(number), "readonly:true", "format:raw", *place)

    @contextmanager
    def _telling_causes(self) -> Iterator[None]:
        """The guest's kernel knows of an unreadable disk only that it is; the export knows why."""
        self._export.failure = None
        try:
            yield
        except GuestFileError as problem:
            cause: SafeholdError | None = self._export.failure
            if cause is not None:
                raise cause from problem
            raise


def _refuse_long(folder: Path) -> None:
    length = len(os.fsencode(folder))
    if length > _FOLDER_BYTES:
        raise UsageError(
            "The folder for temporary files has too long a name for sockets in it",
            expected=f"at most {_FOLDER_BYTES} bytes",
            found=f"{length}",
            remedy="set TMPDIR to a shorter one",
        )


def _absolute(path: bytes) -> bytes:
    """Guests' paths begin at the root, whether they are written so or not; `..` is no way out of it, nor anywhere."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise GuestFileError(f"{printable(path)} is not a plain path", expected="a path without ..")
    return b"/" + b"/".join(parts)
