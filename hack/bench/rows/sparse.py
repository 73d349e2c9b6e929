"""Disks that are mostly holes: one of a TiB with a GiB of data, and one of 16 TiB that has data everywhere a little."""

import os
import shutil
from pathlib import Path

from bench.disk import GIB, KIB, MIB
from bench.programs.base import DISK_NAME
from bench.rows.context import Context

TIB = 1024 * GIB
_SHAPES = {
    # Size, distance between pieces, bytes of a piece.
    "sparse-1TiB": (TIB, GIB, MIB),
    "sparse-16TiB": (16 * TIB - MIB, GIB, 4 * KIB),  # a little less than ext4's largest file
}
ROWS = [f"{name}-{run}" for name in _SHAPES for run in ("full", "unchanged")]


def measure_sparse(context: Context) -> None:
    """A full backup, and one of the unchanged disk. The others would read the holes, for minutes or hours: not run."""
    folder = context.folder / "sparse"
    for name, shape in _SHAPES.items():
        if not any(row.startswith(name) and row in context.wanted for row in ROWS):
            continue
        folder.mkdir()
        disk = make_sparse(folder / DISK_NAME, *shape)
        context.safehold.start(name)
        for run in ("full", "unchanged"):
            context.take_backup(f"{name}-{run}", context.safehold, disk)
        shutil.rmtree(folder)


def make_sparse(disk: Path, size_bytes: int, distance_bytes: int, piece_bytes: int) -> Path:
    """Every piece is different and does not compress."""
    with disk.open("wb") as file:
        file.truncate(size_bytes)
        for offset in range(0, size_bytes - piece_bytes, distance_bytes):
            file.seek(offset)
            file.write(os.urandom(piece_bytes))
    return disk
