"""restic, on the same S3 server."""

import os
import shutil
from pathlib import Path

from bench.measure import Command, run
from bench.packages import unpack
from bench.programs.base import DISK_NAME
from bench.server import Footprint, Server

_SUITE = "sid"
"""Debian 12 has restic 0.14; this suite has what upstream has."""


def find_restic(folder: Path) -> str:
    """The program that RESTIC names, or the newest that Debian has."""
    return os.environ.get("RESTIC") or str(unpack(folder / "restic", ["restic"], _SUITE) / "usr/bin/restic")


class Restic:
    """Default settings, but `--sparse` on restores: it writes less for a disk."""

    name = "restic"
    restores_deltas = True

    def __init__(self, server: Server, folder: Path, program: str) -> None:
        self._server = server
        self._folder = folder
        self._program = program
        self._prefix = "unused"
        self._password = folder / "restic.password"
        self._password.write_text("bench")
        self.version = run(Command(arguments=[program, "version"])).split()[1]

    def start(self, repository: str) -> None:
        """With a cache of its own."""
        shutil.rmtree(self._cache, ignore_errors=True)
        self._prefix = f"restic/{repository}"
        run(self._command("init"))

    def backup(self, disk: Path, vm: str) -> Command:
        """A file as a file, which it reads as its time has changed; a device through `--stdin`."""
        if disk.is_block_device():
            return self._command("backup", f"--host={vm}", "--stdin", "--stdin-filename", DISK_NAME, stdin=disk)
        os.utime(disk)
        return self._command("backup", f"--host={vm}", disk.name, folder=disk.parent)

    def restore(self, folder: Path, *, delta: bool = False) -> Command:
        """A file that exists it compares, and fetches what differs; `--sparse` then would not be faithful."""
        return self._command("restore", "latest", f"--target={folder}", *([] if delta else ["--sparse"]))

    def footprint(self) -> Footprint:
        """Of the prefix."""
        return self._server.footprint(self._prefix)

    @property
    def _cache(self) -> Path:
        return self._folder / "restic.cache"

    def _command(self, *arguments: str, folder: Path | None = None, stdin: Path | None = None) -> Command:
        environment = {
            **self._server.environment(),
            "RESTIC_REPOSITORY": f"s3:{self._server.endpoint_url}/{self._server.bucket}/{self._prefix}",
            "RESTIC_PASSWORD_FILE": str(self._password),
            "RESTIC_CACHE_DIR": str(self._cache),
        }
        return Command(
            arguments=[self._program, "--quiet", *arguments], environment=environment, folder=folder, stdin=stdin
        )
