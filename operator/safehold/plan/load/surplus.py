"""Which runs to put back where not all can be in time, so that as many as possible are.

Moore and Hodgson's rule for the fewest late jobs, for each namespace's line by itself: go through the runs as they are
due, and whenever one would be late, put back the longest so far. How much a line gets done at once is not known
beforehand, since it follows from limits and turns: it is taken from a line that was played. So this is a proposal, and
the play of it decides.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush

from safehold.plan.fair_queue import Key
from safehold.plan.load.projection import ExpectedRun, Lineup, Slot

PATIENCE = 3
"""For how many of its intervals a run is put back. Then it goes before what is due later, however long it takes."""


def patience(run: ExpectedRun) -> timedelta:
    """How much later than it is due a run goes that is put back."""
    appointment = run.appointment
    return PATIENCE * (appointment.due - appointment.moment) if appointment else timedelta()


def surplus(lineup: Lineup, slots: Mapping[Key, Slot]) -> frozenset[Key]:
    """The runs to put back; `slots` are those of a play in which lines are sorted by deadline."""
    lines: dict[str, list[ExpectedRun]] = defaultdict(list)
    for run in (*lineup.waiting, *lineup.coming):
        if run.deadline is not None:
            lines[run.claim.namespace].append(run)
    return frozenset(key for line in lines.values() for key in _of_line(line, slots, lineup.now))


def _of_line(line: Sequence[ExpectedRun], slots: Mapping[Key, Slot], now: datetime) -> Iterator[Key]:
    at_once = _at_once(line, slots, now)
    kept: list[tuple[float, Key]] = []
    work = 0.0
    for run in sorted(line, key=_due):
        if max(run.ready, now) + timedelta(seconds=run.estimate.careful_seconds) > _due(run):
            yield run.key
            continue
        heappush(kept, (-run.seconds, run.key))
        work += run.seconds
        while _end(run, now + timedelta(seconds=(work - run.seconds) / at_once)) > _due(run):
            seconds, longest = heappop(kept)
            work += seconds
            yield longest
            if longest == run.key:
                break


def _at_once(line: Sequence[ExpectedRun], slots: Mapping[Key, Slot], now: datetime) -> float:
    """How many seconds of runs the line gets done in a second, while something waits that waits now."""
    ends = [slots[run.key].ends for run in line if run.ready <= now] or [slots[run.key].ends for run in line]
    until = max(ends)
    return sum(run.seconds for run in line if slots[run.key].begins < until) / (until - now).total_seconds()


def _end(run: ExpectedRun, turn: datetime) -> datetime:
    return max(run.ready, turn) + timedelta(seconds=run.estimate.careful_seconds)


def _due(run: ExpectedRun) -> datetime:
    assert run.deadline is not None
    return run.deadline
