"""The lines that a worker writes on stdout for the controller."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from safehold.report import Progress, RetentionLine, SealedMachine, VolumeLine, VolumeProgress

_INTERVAL_SECONDS = 1.0


class ProgressLines:
    """At most one line a second, and the last one always."""

    def __init__(
        self, run_id: str, *, output: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_id = run_id
        self._output = output or sys.stdout
        self._clock = clock
        self._began = self._next = clock()

    def report(self, done: int, total: int, volume: VolumeProgress | None = None) -> None:
        """Say how far the run is, and how far with its present volume."""
        now = self._clock()
        if done >= total or now >= self._next:
            self._next = now + _INTERVAL_SECONDS
            seconds = round(now - self._began, 3)
            line = Progress(run_id=self._run_id, bytes_done=done, bytes_total=total, seconds=seconds, volume=volume)
            write_line(line, self._output)


class VolumeByVolume:
    """Progress of a run that deals with one volume after the other: `total` bytes in all of them."""

    def __init__(self, lines: ProgressLines, total: int) -> None:
        self._lines = lines
        self._total = total
        self._done = 0
        self._volume: VolumeProgress | None = None

    def begin(self, volume: str, size_bytes: int) -> None:
        """What follows is of this volume."""
        self._volume = VolumeProgress(name=volume, bytes_done=0, bytes_total=size_bytes)

    def advance(self, count: int) -> None:
        """So many bytes more of it are dealt with."""
        assert self._volume is not None
        self._done += count
        self._volume = self._volume.model_copy(update={"bytes_done": self._volume.bytes_done + count})
        self._lines.report(self._done, self._total, self._volume)


def write_line(message: Progress | RetentionLine | SealedMachine | VolumeLine, output: TextIO | None = None) -> None:
    """One message, one line, at once."""
    print(message.model_dump_json(), file=output or sys.stdout, flush=True)
