"""What the cores did meanwhile for programs that are not part of the bench: on a busy machine everything is late."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.measure import busy_seconds, cores, cpu_seconds_of


@dataclass(slots=True)
class Others:
    """From its making on. `pids` are the bench's other processes, which must live as long as it."""

    pids: Sequence[int]
    _began: float = field(default_factory=time.monotonic)
    _busy: float = field(default_factory=busy_seconds)
    _own: float = field(init=False)

    def __post_init__(self) -> None:
        self._own = self._ours()

    def share(self) -> float:
        """Of all cores' time so far, between 0 and 1; kernel threads are others, too."""
        elapsed = time.monotonic() - self._began
        others = busy_seconds() - self._busy - (self._ours() - self._own)
        return max(0.0, others / (elapsed * cores()))

    def _ours(self) -> float:
        return sum(map(cpu_seconds_of, (os.getpid(), *self.pids)))
