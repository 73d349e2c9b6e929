"""The circuit breaker: a VM whose backups fail again and again is tried less often, until one succeeds.

State is in its VMBackups alone. The n-th failure from the threshold on holds the next start back by one hour, two,
four and so on, up to a limit, less up to a quarter by chance, so that VMs that failed together come back apart.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from safehold.api.durations import parse_duration
from safehold.api.timing import CircuitBreaker

FIRST_DELAY = timedelta(hours=1)


class Outcome(Protocol):
    """How a VM's backup ended."""

    @property
    def run(self) -> str:
        """Its run time, in a form that sorts."""

    @property
    def finished(self) -> bool:
        """Whether it is over."""

    @property
    def succeeded(self) -> bool:
        """Whether it has left a restore point."""

    @property
    def ended(self) -> datetime | None:
        """When it was over."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Why and until when a VM's starts are held back."""

    failures: int
    until: datetime


def delay_after(breaker: CircuitBreaker, uid: str, outcomes: Iterable[Outcome]) -> Delay | None:
    """The delay that the latest outcomes of the VM with this uid demand, if any; it may be over already."""
    failed: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.run, reverse=True):
        if outcome.succeeded:
            break
        if outcome.finished:
            failed.append(outcome)
    ended = max((outcome.ended for outcome in failed if outcome.ended is not None), default=None)
    if ended is None or len(failed) < breaker.failures:
        return None
    longest = parse_duration(breaker.max_delay)
    delay = min(longest, FIRST_DELAY * 2 ** min(len(failed) - breaker.failures, 10))
    seconds = int(delay.total_seconds() * (1 - chance(uid, len(failed)) / 4))
    return Delay(len(failed), ended + timedelta(seconds=seconds))


def chance(uid: str, failures: int) -> float:
    """A number in [0, 1) for a VM's so many failures; the same whenever it is asked for."""
    digest = hashlib.blake2b(f"{failures}:{uid}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32
