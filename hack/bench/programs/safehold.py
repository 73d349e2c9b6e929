"""Safehold, through its own command line."""

import json
import sys
from pathlib import Path

from bench.measure import Command, run
from bench.programs.base import DISK_NAME
from bench.server import Footprint, Server

_PROGRAM = str(Path(sys.executable).with_name("safehold"))


class Safehold:
    """The engine without Kubernetes, default settings."""

    name = "safehold"

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._key = folder / "safehold.key"
        self._key.unlink(missing_ok=True)
        run(Command(arguments=[_PROGRAM, "key", "new", "--output-file", str(self._key)]))
        self.version = run(Command(arguments=[_PROGRAM, "--version"])).split()[-1]
        usage = run(Command(arguments=[_PROGRAM, "volume", "restore", "--help"]))
        self.restores_deltas = "--delta" in usage
        self._prefix = "unused"

    def start(self, repository: str, *, lay_out: bool = True) -> None:
        """Laid out, as restic's and borg's are, before anything is measured; else the first backup has to."""
        self._prefix = f"safehold/{repository}"
        if not lay_out:
            return
        init = [_PROGRAM, "repo", "init", "--key-domain=target", *self._place()]
        run(Command(arguments=init, environment=self._server.environment()))

    def backup(self, disk: Path, vm: str, *, told: Path | None = None) -> Command:
        """The same for a file and a device; `told` lists what changed."""
        return self._command("volume", "backup", str(disk), *_told(told), vm=vm)

    def restore(self, folder: Path, *, delta: bool = False, told: Path | None = None) -> Command:
        """Verified by the seals of what is read, as its users get it; `told` lists what differs."""
        options = ["--restore-point=latest", *(["--delta"] if delta else []), *_told(told)]
        return self._command("volume", "restore", str(folder / DISK_NAME), *options)

    def footprint(self) -> Footprint:
        """Of all key domains."""
        return self._server.footprint(self._prefix)

    def repository_arguments(self) -> list[str]:
        """Endpoint, bucket, prefix and key file: for programs that reach into the repository."""
        return [self._server.endpoint_url, self._server.bucket, self._prefix, str(self._key)]

    def _command(self, *arguments: str, vm: str = "vm") -> Command:
        return Command(
            arguments=[
                _PROGRAM,
                *arguments,
                *self._place(),
                f"--vm={vm}",
                "--volume=disk",
                "--output=json",
            ],
            environment=self._server.environment(),
        )

    def _place(self) -> list[str]:
        return [
            f"--repository=s3://{self._server.bucket}/{self._prefix}",
            f"--endpoint-url={self._server.endpoint_url}",
            f"--key-file={self._key}",
        ]


def _told(changed_extents: Path | None) -> list[str]:
    return [f"--changed-extents={changed_extents}"] if changed_extents else []


def figures(output: str) -> dict[str, float]:
    """The numbers that a command of Safehold told about its run."""
    told = json.loads(output.splitlines()[-1])
    return {name: value for name, value in told.items() if isinstance(value, int | float)}
