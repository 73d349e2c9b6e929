"""The folder of a Filesystem volume that was made from a snapshot: what of it can be completed, and what goes."""

import os
import shutil
from pathlib import Path

from safehold.engine.disks.targets import unfinished
from safehold.errors import VolumeError

_LEFT_ALONE = "lost+found"
"""What a file system has of its own; only root may remove it."""


def leave_disk(disk: Path) -> bool:
    """Leave nothing beside the disk in its folder, as where all is fetched; whether there is a disk to complete.

    What lies there is a tenant's. A link, which might lead to a file of this container, or a file that cannot be
    written, is no disk and goes too. What an attempt that was interrupted has left is the disk.
    """
    kept = next((path for path in (disk, unfinished(disk)) if _is_writable_file(path)), None)
    try:
        for path in disk.parent.iterdir():
            if path != kept and path.name != _LEFT_ALONE:
                _remove(path)
    except OSError as problem:
        raise VolumeError(
            f"What the replaced volume has beside {disk.name} cannot be removed from its copy",
            found=problem.strerror,
            remedy="restore with safetySnapshot: false, which fetches everything into a new volume",
        ) from problem
    return kept is not None


def _is_writable_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK | os.W_OK)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
