"""borg, which knows no S3: its repository is a plain folder on the same disk."""

import os
import shutil
from itertools import count
from pathlib import Path

from bench.measure import Command, run
from bench.packages import unpack
from bench.programs.base import DISK_NAME
from bench.server import Footprint, footprint_of_folder

_PACKAGES = ["borgbackup", "python3-msgpack", "python3-packaging"]


class Borg:
    """Default settings with its usual encryption (repokey); `--sparse` on restores, as with restic."""

    name = "borg"
    restores_deltas = False

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder = folder
        self._libraries = unpack(kept / "borg", _PACKAGES) / "usr/lib/python3/dist-packages"
        self._repository = folder / "borg.unused"
        self._newest = ""
        self._numbers = count(1)
        self.version = run(self._command("--version")).split()[-1]

    def start(self, repository: str) -> None:
        """In a folder of its own."""
        shutil.rmtree(self._repository, ignore_errors=True)
        self._repository = self._folder / f"borg.{repository}"
        shutil.rmtree(self._repository, ignore_errors=True)
        run(self._command("init", "--encryption=repokey", str(self._repository)))

    def backup(self, disk: Path, vm: str) -> Command:
        """A file as a file, which it reads as its time has changed."""
        os.utime(disk)
        self._newest = f"{self._repository}::{vm}-{next(self._numbers)}"
        return self._command("create", self._newest, disk.name, folder=disk.parent)

    def restore(self, folder: Path, *, delta: bool = False) -> Command:
        """It extracts into the working folder."""
        assert not delta
        return self._command("extract", "--sparse", self._newest, DISK_NAME, folder=folder)

    def footprint(self) -> Footprint:
        """Of the folder."""
        return footprint_of_folder(self._repository)

    def _command(self, *arguments: str, folder: Path | None = None) -> Command:
        environment = {
            "PYTHONPATH": str(self._libraries),
            "BORG_PASSPHRASE": "bench",
            "BORG_BASE_DIR": str(self._folder / "borg.home"),
        }
        # Debian's modules are built for Debian's Python.
        return Command(arguments=["/usr/bin/python3", "-m", "borg", *arguments], environment=environment, folder=folder)
