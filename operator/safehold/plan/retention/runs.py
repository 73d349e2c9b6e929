"""The runs of a policy that are to come, as far as its schedules say."""

from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import merge

from safehold.api.timing import Timing
from safehold.plan.policy.schedule import Schedule
from safehold.plan.policy.timetable import Timetable


def coming_runs(
    spec: Timing, since: datetime, chosen: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[datetime, str]]:
    """The run times after `since` of the tiers whose names are `chosen`, in order and without end, with these names.

    A run may start later than this, by its spread or when its window opens: here that makes no difference. Of tiers
    that run at the same time the first has the VM. A SpecError where the spec is wrong.
    """
    tiers = [tier for tier in Timetable.parse(spec, since).tiers if chosen(tier.name)]
    last = since
    for run, rank in merge(*(_ranked(tier.schedule, rank, since) for rank, tier in enumerate(tiers))):
        if run > last:
            yield run, tiers[rank].name
        last = run


def runs_of(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """The times of one cron line after `moment`, without end."""
    while True:
        moment = schedule.next_after(moment)
        yield moment


def _ranked(schedule: Schedule, rank: int, since: datetime) -> Iterator[tuple[datetime, int]]:
    return ((run, rank) for run in runs_of(schedule, since))
