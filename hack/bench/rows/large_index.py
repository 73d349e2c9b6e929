"""Backups into a repository of 50 million chunks: what looking chunks up costs there."""

import os
import shutil
import sys

from bench.disk import MIB, Change
from bench.measure import Command, run
from bench.programs.base import DISK_NAME
from bench.rows.context import Context

ROWS = ["chunks-50M-new", "chunks-50M-changed"]
_DISK_BYTES = 256 * MIB
_CHANGE = Change(500, 4096, seed=5)


def measure_large_index(context: Context) -> None:
    """A disk of which every chunk is new to the repository, and the same disk after scattered writes."""
    safehold = context.safehold
    safehold.start("chunks-50M")
    context.say("Making a repository of 50 million chunks")
    probe = [sys.executable, "-m", "bench.probes.large_repository", *safehold.repository_arguments()]
    run(Command(arguments=probe, environment=context.server.environment()))
    folder = context.folder / "chunks"
    folder.mkdir()
    disk = folder / DISK_NAME
    disk.write_bytes(os.urandom(_DISK_BYTES))
    context.take_backup(ROWS[0], safehold, disk)
    _CHANGE.apply(disk)
    context.take_backup(ROWS[1], safehold, disk)
    shutil.rmtree(folder)
