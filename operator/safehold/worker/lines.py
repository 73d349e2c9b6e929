"""The lines that a worker writes on stdout for the controller."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from safehold.run import Progress, RetentionLine, SealedMachine, VolumeLine

_INTERVAL_SECONDS = 1.0


class ProgressLines:
    """At most one line a second, and the last one always."""

    def __init__(
        self, run_id: str, *, output: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_id = run_id
        self._output = output or sys.stdout
        self._clock = clock
        self._next = clock()

    def report(self, done: int, total: int) -> None:
        """Say how far the run is."""
        if done >= total or self._clock() >= self._next:
            self._next = self._clock() + _INTERVAL_SECONDS
            write_line(Progress(run_id=self._run_id, bytes_done=done, bytes_total=total), self._output)


def write_line(message: Progress | RetentionLine | SealedMachine | VolumeLine, output: TextIO | None = None) -> None:
    """One message, one line, at once."""
    print(message.model_dump_json(), file=output or sys.stdout, flush=True)
