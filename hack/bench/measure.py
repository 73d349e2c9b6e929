"""Running a program and taking the measure of it, of the S3 server, and of what else the machine was doing."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_LAUNCH = Path(__file__).with_name("launch.py")
_IDLE_COLUMNS = (3, 4)
"""Of the first line of /proc/stat: idle and waiting for the disk."""


class BenchError(Exception):
    """The bench cannot go on: a program failed or is missing. One sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run. `environment` is added to a small one of our own, so that nobody's settings matter."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    stdin: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run cost. CPU is user and system time; disk bytes are those that really went to the medium."""

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    others_share: float
    """Of all cores' time, what neither the program nor the server used: other programs, and kernel threads."""
    peak_bytes: int
    disk_read_bytes: int
    disk_written_bytes: int
    output: str


def run(command: Command) -> str:
    """Run it unmeasured; returns its standard output."""
    with _stdin_of(command) as stdin:
        done = subprocess.run(
            command.arguments,
            check=False,
            env=_environment(command),
            cwd=command.folder,
            stdin=stdin,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise BenchError(f"{' '.join(command.arguments[:4])}… exited {done.returncode}: {' / '.join(last)}")
    return done.stdout


def measure(command: Command, server_pid: int) -> Usage:
    """Run it and take its measure. Write-back is waited for before: no run pays for an earlier one."""
    os.sync()
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        launched = Command(
            arguments=[sys.executable, "-I", "-S", str(_LAUNCH), report.name, *command.arguments],
            environment=command.environment,
            folder=command.folder,
            stdin=command.stdin,
        )
        server, busy = cpu_seconds_of(server_pid), busy_seconds()
        output = run(launched)
        server, busy = cpu_seconds_of(server_pid) - server, busy_seconds() - busy
        used = json.load(report)
    others = busy - server - used["cpu_seconds"]
    return Usage(
        seconds=used["seconds"],
        cpu_seconds=used["cpu_seconds"],
        server_cpu_seconds=server,
        others_share=max(0.0, others / (used["seconds"] * cores())),
        peak_bytes=used["peak_bytes"],
        disk_read_bytes=used["read_bytes"],
        disk_written_bytes=used["written_bytes"],
        output=output,
    )


def cores() -> int:
    """The cores that we may use."""
    return len(os.sched_getaffinity(0))


def drop_caches() -> bool:
    """Make the next reads cold, everyone's; False if only root could have."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except PermissionError:
        return False
    return True


def _stdin_of(command: Command) -> IO[bytes]:
    return (command.stdin or Path(os.devnull)).open("rb")


def _environment(command: Command) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **command.environment}


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process so far."""
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / _TICKS


def busy_seconds() -> float:
    """What all cores have done so far, for whomever."""
    columns = [int(column) for column in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(columns) - sum(columns[column] for column in _IDLE_COLUMNS)) / _TICKS
