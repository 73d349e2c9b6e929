"""Holding the programs that write to some files, so that copies of all of them show one instant.

A storage system cuts many volumes at once by itself. Files have nothing of the kind: the sandbox stops, for the moment
of the copy, every process that has one of them open for writing. To a guest it looks as if its host had been busy.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STOP_SECONDS = 5.0
"""How long a process may take to stand still; one that waits for a disk does so only afterwards."""


@contextmanager
def stopped_writers(paths: Iterable[Path]) -> Iterator[None]:
    """While nobody writes to these files, or to files in these folders. TimeoutError if somebody cannot be stopped."""
    stopped: list[int] = []
    try:
        for pid in writers_of(paths):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        for pid in stopped:
            _wait_until_still(pid)
        yield
    finally:
        release(stopped)


def release(pids: Iterable[int]) -> None:
    """Let processes go on."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def writers_of(paths: Iterable[Path]) -> list[int]:
    """The processes, but this one, that have one of these files open for writing."""
    wanted = {(status.st_dev, status.st_ino) for path in paths for status in _files(path)}
    processes = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in processes if pid != os.getpid() and not wanted.isdisjoint(_written_by(pid))]


def _files(path: Path) -> Iterator[os.stat_result]:
    if not path.is_dir():
        yield path.stat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield (Path(folder) / name).stat(follow_symlinks=False)


def _written_by(pid: int) -> Iterator[tuple[int, int]]:
    """Device and inode of what the process has open for writing; nothing for one that has ended."""
    folder = Path(f"/proc/{pid}")
    with suppress(OSError):
        for descriptor in (folder / "fd").iterdir():
            with suppress(OSError):
                if _is_writable(folder / "fdinfo" / descriptor.name):
                    status = descriptor.stat()
                    yield status.st_dev, status.st_ino


def _is_writable(info: Path) -> bool:
    flags = next(line.split()[1] for line in info.read_text().splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _wait_until_still(pid: int) -> None:
    """SIGSTOP is sent to a process, and each of its threads stops for itself."""
    end = time.monotonic() + _STOP_SECONDS
    while _moves(pid):
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} writes to a volume and does not stop")
        time.sleep(0.001)


def _moves(pid: int) -> bool:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        states = [(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads]
    except OSError:
        return False  # it has ended meanwhile
    return any(state not in "TtZX" for state in states)
