"""Files in volumes that tenants could write to: whatever else may lie there under a disk's name is not read.

A symbolic link would lead the worker to its own secrets and into a restore point of the tenant's; a pipe would hold it
up for ever.
"""

import os
import stat
from pathlib import Path

from safehold.errors import VolumeError
from safehold.run import VolumeToBackUp

_PLAIN = "a plain file"
_FOLDER = "a folder"


def readable_volumes(volumes: list[VolumeToBackUp]) -> list[VolumeToBackUp]:
    """The volumes without a memory dump that cannot be read; VolumeError for a disk or state that is not one."""
    for volume in volumes:
        if volume.role == "Disk":
            _refuse_disguise(volume)
        if volume.role == "State":
            _refuse_state(volume)
    return [volume for volume in volumes if volume.role != "MemoryDump" or _is_readable_dump(volume)]


def _refuse_disguise(volume: VolumeToBackUp) -> None:
    if volume.mode == "Block" or volume.path is None or _kind(volume.path) == _PLAIN:
        return
    raise VolumeError(
        f"The disk of volume {volume.name} cannot be read",
        expected=f"a plain file {Path(volume.path).name}",
        found=_kind(volume.path),
        remedy="put the VM's disk back into its claim",
    )


def _refuse_state(volume: VolumeToBackUp) -> None:
    if volume.mode == "Filesystem" and volume.path is not None and _kind(volume.path) == _FOLDER:
        return
    raise VolumeError(
        "The VM's TPM and EFI state cannot be read",
        expected="a Filesystem volume, as KubeVirt makes it",
        found=f"a {volume.mode} volume",
        remedy="give KubeVirt's vmStateStorageClass a class with file systems",
    )


def _is_readable_dump(volume: VolumeToBackUp) -> bool:
    return volume.path is not None and _kind(volume.path) == _PLAIN and os.access(volume.path, os.R_OK)


def _kind(path: str) -> str:
    """What a path is, links not followed. Nobody can change it meanwhile: the volume is a copy of the worker's own."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        return error.strerror or "nothing"
    kinds = ((stat.S_ISREG, _PLAIN), (stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, _FOLDER))
    return next((word for is_it, word in kinds if is_it(mode)), "a special file")
