"""Disks whose changes are told: the same changes on a small and on a large disk, and a disk that is put right again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.disk import GIB, IN_RUNS, KIB, SCATTERED, Change, one_percent, sparse_copy
from bench.measure import Command, run
from bench.programs.base import DISK_NAME
from bench.rows.context import Context
from bench.rows.sparse import TIB, make_sparse

_PIECES = 4096
_PIECE_BYTES = 256 * KIB
_SMALL, _LARGE, _LARGEST = "6GiB", "1TiB", "16TiB"
_SIZES = {_SMALL: 6 * GIB, _LARGE: TIB, _LARGEST: 16 * TIB - GIB}
_CHANGES = {"scattered": SCATTERED, "runs": IN_RUNS}
RESTORE, RESTORE_DELTA = "told-restore-full", "told-restore-delta"
ROWS = [f"told-{size}-{change}" for size in _SIZES for change in _CHANGES] + [RESTORE, RESTORE_DELTA]


@dataclass(frozen=True, slots=True)
class _Told:
    """A disk, and the file that names what was written to it since its last backup."""

    disk: Path
    names: Path

    def change(self, changes: list[Change]) -> None:
        """Write, and tell it."""
        extents = sorted(extent for change in changes for extent in change.apply(self.disk))
        merged: list[tuple[int, int]] = []
        for offset, length in extents:
            if merged and offset <= sum(merged[-1]):
                first, before = merged[-1]
                merged[-1] = first, max(before, offset + length - first)
            else:
                merged.append((offset, length))
        lines = (json.dumps({"offset": offset, "length": length}) + "\n" for offset, length in merged)
        self.names.write_text("".join(lines))


def measure_told_changes(context: Context) -> None:
    """The others have no way to be told: not run."""
    folder = context.folder / "told"
    for name, size_bytes in _SIZES.items():
        if context.wanted.intersection(f"told-{name}-{change}" for change in _CHANGES):
            folder.mkdir()
            _back_up(context, name, make_sparse(folder / DISK_NAME, size_bytes, size_bytes // _PIECES, _PIECE_BYTES))
            shutil.rmtree(folder)
    if context.wanted.intersection((RESTORE, RESTORE_DELTA)):
        folder.mkdir()
        _restore(context, sparse_copy(context.image, folder / DISK_NAME))
        shutil.rmtree(folder)


def _back_up(context: Context, name: str, disk: Path) -> None:
    told = _begin(context, name, disk)
    for _ in range(context.rounds):
        for change, writes in _CHANGES.items():
            told.change(writes)
            _take(context, f"told-{name}-{change}", context.safehold.backup(disk, "vm", told=told.names), told)


def _restore(context: Context, disk: Path) -> None:
    """All of the disk; then, after writes that are told, what they hit."""
    told = _begin(context, "restore", disk)
    for _ in range(context.rounds):
        disk.unlink()
        _take(context, RESTORE, context.safehold.restore(disk.parent), told)
        told.change([one_percent(disk, seed=6)])
        _take(context, RESTORE_DELTA, context.safehold.restore(disk.parent, delta=True, told=told.names), told)


def _begin(context: Context, name: str, disk: Path) -> _Told:
    """A repository with a full backup of the disk."""
    context.safehold.start(f"told-{name}")
    run(context.safehold.backup(disk, "vm"))
    return _Told(disk, disk.with_name("changes"))


def _take(context: Context, row: str, command: Command, told: _Told) -> None:
    context.take(row, context.safehold.name, command, told.disk)
