"""In which order a namespace's runs take their turns: as they came, unless another order meets more deadlines.

Each order is played ahead with what is expected of every run. The first of those that miss the fewest deadlines is
taken, and the order of arrival is tried first: nothing is reordered without need. None of them lets a run wait for
ever, because whatever comes later has, sooner or later, a later arrival, deadline and latest start. Turns between
namespaces stay as they are: no deadline of one tenant takes another's share.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.api.forecast import LineOrder, Miss
from safehold.plan.fair_queue import Key
from safehold.plan.load.projection import ExpectedRun, Lineup, Slot, project


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The order that was chosen, and what will come of it."""

    order: LineOrder
    slots: Mapping[Key, Slot]
    missed: Mapping[Key, Miss]


def place(run: ExpectedRun, order: LineOrder) -> datetime:
    """By which time the run is sorted: the earlier, the sooner."""
    return _PLACES[order](run)


def choose_order(lineup: Lineup) -> Outlook:
    """The order to go by from now on."""
    best = _play(lineup, "Arrival")
    for order in ("Deadline", "LatestStart"):
        if not best.missed:
            break
        found = _play(lineup, order)
        if len(found.missed) < len(best.missed):
            best = found
    return best


def missed(run: ExpectedRun, slot: Slot) -> Miss | None:
    """What a run misses that has this slot, if it takes as long as its slower ones."""
    closes = run.appointment.closes if run.appointment else None
    if closes is not None and slot.begins >= closes:
        return "Window"
    end = max(slot.ends, slot.begins + timedelta(seconds=run.estimate.careful_seconds))
    return "Deadline" if run.due is not None and end > run.due else None


def _play(lineup: Lineup, order: LineOrder) -> Outlook:
    runs = {run.key: run for run in (*lineup.active, *lineup.waiting, *lineup.coming)}
    places = {key: place(run, order) for key, run in runs.items()}
    slots = project(lineup, lambda key, _: places[key])
    return Outlook(order=order, slots=slots, missed=dict(_misses(runs.values(), slots)))


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
}
