"""In which order a namespace's runs take their turns: as they came, unless another order meets more deadlines.

Each order is played ahead with what is expected of every run. The first of those that miss the fewest deadlines is
taken, and the order of arrival is tried first: nothing is reordered without need. None of them lets a run wait for
ever, because whatever comes later has, sooner or later, a later arrival, deadline and latest start, and what is put
back is so for a bounded time. Turns between namespaces stay as they are: no deadline of one tenant takes another's
share.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.api.forecast import LineOrder, Miss
from safehold.plan.fair_queue import Key
from safehold.plan.load.projection import ExpectedRun, Lineup, Slot, project
from safehold.plan.load.surplus import patience, surplus


@dataclass(frozen=True, slots=True)
class Sorting:
    """How every namespace's line is sorted."""

    order: LineOrder = "Arrival"
    put_back: frozenset[Key] = frozenset()
    """With `MostInTime`, the runs that go later than they are due, so that more of the others are in time."""

    def place(self, run: ExpectedRun) -> datetime:
        """By which time the run is sorted: the earlier, the sooner."""
        place = _PLACES[self.order](run)
        return place + patience(run) if run.key in self.put_back else place


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The order that was chosen, and what will come of it."""

    sorting: Sorting
    slots: Mapping[Key, Slot]
    missed: Mapping[Key, Miss]

    @property
    def order(self) -> LineOrder:
        """As statuses call it."""
        return self.sorting.order


def choose_order(lineup: Lineup) -> Outlook:
    """The order to go by from now on."""
    best = _play(lineup, Sorting("Arrival"))
    if not best.missed:
        return best
    by_deadline = _play(lineup, Sorting("Deadline"))
    best = _fewer(best, by_deadline)
    if best.missed:
        best = _fewer(best, _play(lineup, Sorting("LatestStart")))
    if best.missed:
        put_back = surplus(lineup, by_deadline.slots)
        best = _fewer(best, _play(lineup, Sorting("MostInTime", put_back)))
    return best


def missed(run: ExpectedRun, slot: Slot) -> Miss | None:
    """What a run misses that has this slot, if it takes as long as its slower ones."""
    closes = run.appointment.closes if run.appointment else None
    if closes is not None and slot.begins >= closes:
        return "Window"
    end = max(slot.ends, slot.begins + timedelta(seconds=run.estimate.careful_seconds))
    return "Deadline" if run.due is not None and end > run.due else None


def _fewer(best: Outlook, found: Outlook) -> Outlook:
    return found if len(found.missed) < len(best.missed) else best


def _play(lineup: Lineup, sorting: Sorting) -> Outlook:
    runs = {run.key: run for run in (*lineup.active, *lineup.waiting, *lineup.coming)}
    places = {key: sorting.place(run) for key, run in runs.items()}
    slots = project(lineup, lambda key, _: places[key])
    return Outlook(sorting=sorting, slots=slots, missed=dict(_misses(runs.values(), slots)))


def _misses(runs: Iterable[ExpectedRun], slots: Mapping[Key, Slot]) -> Iterable[tuple[Key, Miss]]:
    for run in runs:
        if (miss := missed(run, slots[run.key])) is not None:
            yield run.key, miss


def _by_arrival(run: ExpectedRun) -> datetime:
    return run.claim.since


def _by_deadline(run: ExpectedRun) -> datetime:
    """What a person asked for has no deadline, and goes as if it were due."""
    return run.deadline or run.claim.since


def _by_latest_start(run: ExpectedRun) -> datetime:
    """A long run early enough: by when it has to begin."""
    if run.deadline is None:
        return run.claim.since
    return run.deadline - timedelta(seconds=run.estimate.careful_seconds)


_PLACES: Mapping[LineOrder, Callable[[ExpectedRun], datetime]] = {
    "Arrival": _by_arrival,
    "Deadline": _by_deadline,
    "LatestStart": _by_latest_start,
    "MostInTime": _by_deadline,
}
