"""The fair queue, played ahead: when will each run begin and end, if each takes as long as is expected of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush

from safehold.plan.fair_queue import Claim, FairQueue, Key, Rank
from safehold.plan.load.appointments import Appointment
from safehold.plan.load.experience import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRun:
    """A run that is active, waits or comes, and what is expected of it."""

    key: Key
    claim: Claim
    ready: datetime
    """When it comes into the queue; for an active one, when it began."""
    estimate: Estimate
    due: datetime | None
    """When it has to be finished; None: it has no appointment."""
    appointment: Appointment | None = None

    @property
    def deadline(self) -> datetime | None:
        """When it has to be finished, and to have begun before its hours close."""
        closes = self.appointment.closes if self.appointment else None
        if closes is None or self.due is None:
            return self.due
        return min(self.due, closes + timedelta(seconds=self.estimate.careful_seconds))

    @property
    def seconds(self) -> float:
        """For how long it holds its place, as a rule: a second at the least."""
        return max(1.0, self.estimate.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """All runs at one moment, and the limits that they share."""

    now: datetime
    limit: int
    limits: Mapping[str, int]
    active: tuple[ExpectedRun, ...]
    waiting: tuple[ExpectedRun, ...]
    coming: tuple[ExpectedRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """When a run begins and ends."""

    begins: datetime
    ends: datetime


SHORTEST = timedelta(minutes=1)
"""What is left, at the least, of a run that has taken longer than was expected of it."""


def project(lineup: Lineup, rank: Rank) -> dict[Key, Slot]:
    """The slot of each run, where the lines of the fair queue are in this order."""
    queue = FairQueue(lineup.limit, dict(lineup.limits), rank=rank)
    runs = {run.key: run for run in (*lineup.waiting, *lineup.coming)}
    slots: dict[Key, Slot] = {}
    ends: list[tuple[datetime, Key]] = []

    def occupy(run: ExpectedRun, begins: datetime, ends_at: datetime) -> None:
        queue.begin(run.key, run.claim)
        slots[run.key] = Slot(begins, ends_at)
        heappush(ends, (ends_at, run.key))

    for run in lineup.active:
        occupy(run, run.ready, expected_end(run, lineup.now))
    for run in lineup.waiting:
        queue.wait(run.key, run.claim)
    arrivals = sorted(lineup.coming, key=lambda run: (run.ready, run.key), reverse=True)
    now = lineup.now
    while True:
        while ends and ends[0][0] <= now:
            queue.leave(heappop(ends)[1])
        while arrivals and arrivals[-1].ready <= now:
            run = arrivals.pop()
            queue.wait(run.key, run.claim)
        for key in queue.next_up():
            occupy(runs[key], now, now + timedelta(seconds=runs[key].seconds))
        moments = [*([ends[0][0]] if ends else ()), *([arrivals[-1].ready] if arrivals else ())]
        if not moments:
            return slots
        now = min(moments)


def expected_end(run: ExpectedRun, now: datetime) -> datetime:
    """When an active run ends: as usual, else as its slower ones did, else soon."""
    usual = run.ready + timedelta(seconds=run.estimate.seconds)
    careful = run.ready + timedelta(seconds=run.estimate.careful_seconds)
    return usual if usual > now else max(careful, now + SHORTEST)
