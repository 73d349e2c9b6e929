"""What came of a simulation, in figures."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from safehold.plan.load.experience import CAREFUL, USUAL, quantile
from safehold.plan.load.history import VMKey
from safehold.plan.load.simulation import Played, PlayedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one way to start the runs."""

    runs: int
    left_out: int
    missed_deadlines: int
    """Runs that ended after they were due."""
    missed_windows: int
    """Runs that began after the hours for them had closed."""
    late_machines: tuple[VMKey, ...]
    """VMs with a run that missed one of them, those with the most first."""
    makespan: timedelta
    """The longest time from a run's time until the last of its VMs was finished."""
    usual_makespan: timedelta
    usual_wait: timedelta
    """For a turn."""
    careful_wait: timedelta
    longest_wait: timedelta
    oldest_point: timedelta
    """The most that a VM would have lost at any moment after its first backup."""
    peak_runs: int
    peak_bytes_per_second: float
    """Sent to the targets."""


def figures_of(played: Played) -> Figures:
    """All of them."""
    runs = played.runs
    late = [run for run in runs if _is_late(run)]
    waits = sorted((run.begins - run.arrival.appointment.moment).total_seconds() for run in runs)
    makespans = sorted(_makespans(runs))
    return Figures(
        runs=len(runs),
        left_out=played.left_out,
        missed_deadlines=sum(run.ends > run.due for run in runs),
        missed_windows=sum(_began_too_late(run) for run in runs),
        late_machines=_most_first(late),
        makespan=timedelta(seconds=makespans[-1] if makespans else 0),
        usual_makespan=timedelta(seconds=quantile(makespans, USUAL)),
        usual_wait=timedelta(seconds=quantile(waits, USUAL)),
        careful_wait=timedelta(seconds=quantile(waits, CAREFUL)),
        longest_wait=timedelta(seconds=waits[-1] if waits else 0),
        oldest_point=max(_ages(runs), default=timedelta()),
        peak_runs=int(_peak((run, 1) for run in runs)),
        peak_bytes_per_second=_peak((run, run.cost.uploaded / run.cost.seconds) for run in runs),
    )


def _is_late(run: PlayedRun) -> bool:
    return run.ends > run.due or _began_too_late(run)


def _began_too_late(run: PlayedRun) -> bool:
    closes = run.arrival.appointment.closes
    return closes is not None and run.begins >= closes


def _most_first(late: Iterable[PlayedRun]) -> tuple[VMKey, ...]:
    counts: dict[VMKey, int] = defaultdict(int)
    for run in late:
        counts[run.arrival.vm] += 1
    return tuple(sorted(counts, key=lambda vm: (-counts[vm], vm)))


def _makespans(runs: Iterable[PlayedRun]) -> Iterable[float]:
    last: dict[tuple[str, datetime], datetime] = {}
    for run in runs:
        key = (run.arrival.policy.name, run.arrival.appointment.run)
        last[key] = max(run.ends, last.get(key, run.ends))
    return ((end - run_time).total_seconds() for (_, run_time), end in last.items())


def _ages(runs: Iterable[PlayedRun]) -> Iterable[timedelta]:
    """How old each VM's newest point was when the next one was finished."""
    by_vm: dict[VMKey, list[PlayedRun]] = defaultdict(list)
    for run in runs:
        by_vm[run.arrival.vm].append(run)
    for found in by_vm.values():
        for before, after in pairwise(sorted(found, key=lambda run: run.begins)):
            yield after.ends - before.begins


def _peak(loads: Iterable[tuple[PlayedRun, float]]) -> float:
    """The largest sum of what is active at once; at the same moment, ends come before beginnings."""
    edges = sorted(edge for run, amount in loads for edge in ((run.ends, 0, -amount), (run.begins, 1, amount)))
    level = peak = 0.0
    for _, _, amount in edges:
        level += amount
        peak = max(peak, level)
    return peak
