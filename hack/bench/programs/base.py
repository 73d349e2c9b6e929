"""What the bench asks of a backup program."""

from pathlib import Path
from typing import Protocol

from bench.measure import Command
from bench.server import Footprint

DISK_NAME = "disk.img"
"""What every disk is called: programs that know files by their names see one disk that changes."""


class Program(Protocol):
    """A backup program with one repository, at its default settings. Commands are run and measured by the caller."""

    name: str
    version: str
    restores_deltas: bool
    """Whether it can write only what differs into a disk that holds most of the point already."""

    def start(self, repository: str) -> None:
        """Lay out a new, empty repository of this name and use it from now on."""

    def backup(self, disk: Path, vm: str) -> Command:
        """Make a restore point of a file or a block device; it has to be read, whatever is remembered of it.

        `vm` is whose disk it is, for programs that follow the disks of several.
        """

    def restore(self, folder: Path, *, delta: bool = False) -> Command:
        """Bring the newest point back as DISK_NAME in `folder`: new, or with `delta` over the one that is there."""

    def footprint(self) -> Footprint:
        """What the repository takes."""


def read_plainly(disk: Path) -> Command:
    """dd: what reading alone costs."""
    return Command(arguments=["dd", f"if={disk}", "of=/dev/null", "bs=8M", "status=none"])
