"""The runs of a policy that are to come, as far as its schedules say."""

from collections.abc import Iterator
from datetime import datetime
from heapq import merge

from safehold.api.timing import Timing
from safehold.plan.policy.schedule import Schedule
from safehold.plan.policy.timetable import Timetable


def coming_runs(spec: Timing, since: datetime) -> Iterator[datetime]:
    """The run times of all tiers after `since`, in order and without end; a SpecError where the spec is wrong.

    A run may start later than this, by its spread or when its window opens: here that makes no difference.
    """
    return merge(*(runs_of(tier.schedule, since) for tier in Timetable.parse(spec, since).tiers))


def runs_of(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """The times of one cron line after `moment`, without end."""
    while True:
        moment = schedule.next_after(moment)
        yield moment
