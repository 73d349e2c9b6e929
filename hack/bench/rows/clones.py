"""Fifty virtual machines cloned from one golden image: backed up one after another, and all at once."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench.disk import GIB, KIB, MIB, Change, allocated_bytes, make_image, sparse_copy
from bench.measure import Command, measure
from bench.programs.base import DISK_NAME
from bench.results import Result
from bench.rows.context import Context

_ONE_BY_ONE = ["golden", "golden-changed", "clones"]
_AT_ONCE = ["at-once-golden", "at-once-changed", "at-once-clones", "at-once-folded"]
ROWS = [*_ONE_BY_ONE, *_AT_ONCE]
CLONES = 50
_OWN = (16, 64 * KIB)
"""What a clone writes of its own, such as keys, logs and configuration: so many runs of so many bytes."""


def measure_clones(context: Context) -> None:
    """Both ways, each in a repository of its own."""
    folder = context.folder / "clones"
    for rows, measure_rows in ((_ONE_BY_ONE, _one_by_one), (_AT_ONCE, _at_once)):
        if context.wanted.intersection(rows):
            folder.mkdir()
            measure_rows(context, folder)
            shutil.rmtree(folder)


def _one_by_one(context: Context, folder: Path) -> None:
    """The golden image once, then each clone with a megabyte of its own."""
    image = make_image(context.folder / "golden.img", 1 * GIB, 512 * MIB)
    disk = folder / DISK_NAME
    _golden(context, "one", image, disk, _ONE_BY_ONE)
    context.safehold.start("clones")
    context.take_backup("", context.safehold, sparse_copy(image, disk), vm="golden")
    for number in range(1, CLONES + 1):
        _clone(image, disk, number)
        context.take_backup("clones", context.safehold, disk, vm=f"clone-{number}", cold=False)


def _at_once(context: Context, folder: Path) -> None:
    """All clones at the same time, in a repository that is empty, and maintenance after them."""
    image = make_image(context.folder / "golden-small.img", 256 * MIB, 96 * MIB)
    safehold = context.safehold
    _golden(context, "at-once", image, folder / DISK_NAME, _AT_ONCE)
    safehold.start("clones-at-once", lay_out=False)
    disks = [_clone(image, folder / f"{number}.img", number) for number in range(1, CLONES + 1)]
    backups = [safehold.backup(disk, f"clone-{number}") for number, disk in enumerate(disks, 1)]
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json") as list_:
        json.dump([backup.arguments for backup in backups], list_)
        list_.flush()
        all_of_them = Command(
            arguments=[sys.executable, "-m", "bench.probes.at_once"],
            environment=backups[0].environment,
            stdin=Path(list_.name),
        )
        _note(context, _AT_ONCE[2], all_of_them, sum(map(allocated_bytes, disks)))
    probe = [sys.executable, "-m", "bench.probes.maintenance", *safehold.repository_arguments()]
    _note(context, _AT_ONCE[3], Command(arguments=probe, environment=context.server.environment()), 0)


def _golden(context: Context, name: str, image: Path, disk: Path, rows: list[str]) -> None:
    """The image alone in a repository, and what a clone's own megabyte costs as an increment of the same machine."""
    context.safehold.start(f"golden-{name}")
    context.take_backup(rows[0], context.safehold, sparse_copy(image, disk), vm="golden")
    context.take_backup(rows[1], context.safehold, _clone(image, disk, CLONES + 1), vm="golden", cold=False)


def _note(context: Context, row: str, command: Command, data_bytes: int) -> None:
    usage = measure(command, context.server.pid)
    # Not what was added: maintenance takes away, and what all of them left together is asked.
    total = context.safehold.footprint()
    context.note(Result(row=row, program=context.safehold.name, usage=usage, data_bytes=data_bytes, added=total))


def _clone(image: Path, disk: Path, number: int) -> Path:
    sparse_copy(image, disk)
    Change(*_OWN, seed=100 + number).apply(disk)
    return disk
