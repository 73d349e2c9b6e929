"""Fifty virtual machines cloned from one golden image, backed up one after another."""

import shutil

from bench.disk import GIB, KIB, MIB, Change, make_image, sparse_copy
from bench.programs.base import DISK_NAME
from bench.rows.context import Context

ROWS = ["golden", "clones"]
CLONES = 50
_IMAGE_BYTES, _CONTENT_BYTES = 1 * GIB, 512 * MIB
_OWN = (16, 64 * KIB)
"""What a clone writes of its own, such as keys, logs and configuration: so many runs of so many bytes."""


def measure_clones(context: Context) -> None:
    """The golden image once, then each clone with a megabyte of its own; `differs` is what they had to add."""
    image = make_image(context.folder / "golden.img", _IMAGE_BYTES, _CONTENT_BYTES)
    folder = context.folder / "clones"
    folder.mkdir(exist_ok=True)
    context.safehold.start("clones")
    disk = sparse_copy(image, folder / DISK_NAME)
    context.take_backup("golden", context.safehold, disk, vm="golden")
    for number in range(1, CLONES + 1):
        sparse_copy(image, disk)
        Change(*_OWN, seed=100 + number).apply(disk)
        context.take_backup("clones", context.safehold, disk, vm=f"clone-{number}", cold=False)
    shutil.rmtree(folder)
