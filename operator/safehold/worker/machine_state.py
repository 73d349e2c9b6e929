"""What KubeVirt keeps for a VM in a volume of its own, TPM and EFI variables: small files, stored as one tar archive.

The folder is not a disk, and it also holds what belongs to one cluster only (`cbt`, QEMU's bitmaps of changed blocks).
An archive of the same files is the same bytes each time, so an unchanged state costs nothing.
"""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from safehold.errors import IntegrityError, VolumeError
from safehold.reasons import Reason

LEFT_OUT = ("cbt", "lost+found")
"""Folders at the top that are not the VM's state."""
STATE_LIMIT_BYTES = 256 * 1024 * 1024
"""Of all files together. KubeVirt's volume has 10 MiB; without a limit a tenant could fill the worker's node."""
_VARIABLES = "nvram/{}_VARS.fd"
"""KubeVirt calls the file with EFI variables after the VM."""
_FILE_MODE, _FOLDER_MODE = 0o660, 0o770
_BUFFER_BYTES = 1024 * 1024


def pack_state(folder: Path, archive: Path) -> None:
    """Write the folder's state as an archive; VolumeError for one that is too large, or cannot be read."""
    members = list(_members(folder))
    total = sum(path.stat().st_size for path in members if path.is_file())
    if total > STATE_LIMIT_BYTES:
        raise VolumeError(
            "The VM's TPM and EFI state cannot be stored",
            expected=f"at most {STATE_LIMIT_BYTES} bytes",
            found=f"{total} bytes",
            remedy="remove from its volume what KubeVirt has not put there",
        )
    try:
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as written:
            for path in members:
                _add(written, path, path.relative_to(folder).as_posix())
    except OSError as error:
        raise VolumeError(f"The VM's TPM and EFI state cannot be read: {error.strerror}") from error


def unpack_state(archive: Path, folder: Path, *, renamed: tuple[str, str] | None = None) -> None:
    """Make the folder hold what the archive does, on the medium and read back; anything else in it goes first.

    `renamed`: old and new name of the VM. Nothing is written outside of `folder`, whatever the archive says.
    """
    _empty(folder)
    with tarfile.open(archive, "r:") as stored:
        for member in stored:
            name = _renamed(member.name, renamed)
            target = _inside(folder, name)
            if member.isdir():
                target.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            elif member.isfile():
                _write(stored, member, target)
            else:
                raise IntegrityError(f"The archive of the VM's state holds {member.name!r}, which is no plain file")


def _members(folder: Path) -> Iterator[Path]:
    """Folders and plain files, in the order of their names; links lead elsewhere and are left out."""
    for path in sorted(folder.rglob("*")):
        top = path.relative_to(folder).parts[0]
        mode = path.lstat().st_mode
        if top not in LEFT_OUT and (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            yield path


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Without owners and times, which change though the state does not."""
    member = tarfile.TarInfo(name)
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, _FOLDER_MODE
        archive.addfile(member)
        return
    with path.open("rb") as content:
        member.size, member.mode = os.fstat(content.fileno()).st_size, _FILE_MODE
        archive.addfile(member, content)


def _renamed(name: str, renamed: tuple[str, str] | None) -> str:
    if renamed is not None and name == _VARIABLES.format(renamed[0]):
        return _VARIABLES.format(renamed[1])
    return name


def _inside(folder: Path, name: str) -> Path:
    """A point of a tenant's own repository can be forged, so its names are not believed."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise IntegrityError(f"The archive of the VM's state names {name!r}, which is outside of its volume")
    return folder.joinpath(*parts)


def _empty(folder: Path) -> None:
    """An earlier attempt may have left a part."""
    for path in folder.iterdir():
        if path.name == "lost+found":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    with _content(archive, member) as content, target.open("xb") as written:
        shutil.copyfileobj(content, written, _BUFFER_BYTES)
        written.flush()
        os.fsync(written.fileno())
    target.chmod(_FILE_MODE)
    with _content(archive, member) as content, target.open("rb") as read:
        # From the medium, not from memory.
        os.posix_fadvise(read.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while expected := content.read(_BUFFER_BYTES):
            if read.read(len(expected)) != expected:
                what = f"The file {member.name} of the VM's state, read back, is not what was written"
                raise VolumeError(what, reason=Reason.VERIFICATION_FAILED)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # a plain file has content
    return content
