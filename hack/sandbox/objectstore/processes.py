"""Servers of other people as child processes of a synchronous caller."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 120
_STOP_SECONDS = 3
"""Asked to stop, a store waits for idle connections of clients; what was written is in the kernel by then."""
_POLL_SECONDS = 0.1
_LOG_TAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A server's process. `name` and the end of `log` tell people what went wrong."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; RuntimeError if the process ends before, or it takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            if self.process.poll() is not None:
                raise self._error(f"has ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self._error(f"is not as wanted after {_START_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def _error(self, what: str) -> RuntimeError:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return RuntimeError("\n".join([f"{self.name} {what}; see {self.log}:", *lines]))


@contextmanager
def running(name: str, command: Sequence[str], log: Path, stop_seconds: float = _STOP_SECONDS) -> Iterator[Server]:
    """The server for the time of the context, with its output in the log; it ends however this program ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            with _ended_with_us(process):
                yield Server(name, process, log)
        finally:
            process.terminate()
            try:
                process.wait(stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """However this program ends, the server ends: a guard sees the pipe from us close, and stops it."""
    guard = subprocess.Popen(
        ["sh", "-c", 'read -r _; kill "$0"; sleep 3; kill -9 "$0"', str(process.pid)], stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()
