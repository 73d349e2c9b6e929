"""What a schedule promises by itself: of which run every VM must have a restore point by now.

With a `startingDeadline`, of each run whose deadline is over; without one, of each run after which the VM's next one
has begun, since a backup that is late may still start until then.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from safehold.plan.policy.timetable import Tier, Timetable

ALLOWANCE = timedelta(minutes=15)
"""From the latest start that `startingDeadline` allows to the capture: a snapshot takes seconds, at times minutes."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A run, and the moment in it at which the VM had to start."""

    run: datetime
    moment: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What a timetable has promised until one moment; computed once for all VMs of a policy."""

    timetable: Timetable
    late: datetime
    """Starts up to this moment count."""
    runs: tuple[tuple[Tier, tuple[datetime, ...]], ...]
    """Of each tier, in order, the runs that may be the last promised one of some VM, and the one before them."""
    since: datetime
    """No earlier run was promised."""

    @classmethod
    def until(cls, timetable: Timetable, now: datetime, since: datetime) -> Self:
        """What `timetable`, which counts from `since` on, has promised until `now`."""
        deadline = timetable.deadline
        late = now if deadline is None else now - deadline - ALLOWANCE
        runs = tuple((tier, _runs(timetable, tier, late)) for tier in timetable.tiers)
        return cls(timetable=timetable, late=late, runs=runs, since=since)

    def of(self, uid: str) -> Promise | None:
        """The last promise to the VM with this uid; None where there was none yet."""
        found = [promise for tier, runs in self.runs if (promise := self._in_tier(tier, runs, uid))]
        return max(found, key=lambda promise: promise.run, default=None)

    def _in_tier(self, tier: Tier, runs: tuple[datetime, ...], uid: str) -> Promise | None:
        offset, calendar = tier.offset(uid), self.timetable.calendar
        begun = [Promise(run, moment) for run in runs if (moment := calendar.after(run, offset)) <= self.late]
        # Without a deadline the last one may still be late.
        if self.timetable.deadline is None:
            begun = begun[:-1]
        return begun[-1] if begun and begun[-1].run >= self.since else None


def _runs(timetable: Timetable, tier: Tier, late: datetime) -> tuple[datetime, ...]:
    calendar, schedule, instant = timetable.calendar, tier.schedule, timedelta.resolution
    # This one has begun for every VM, whatever its part of the spread; a run of closed hours begins after `late`.
    begun = schedule.latest_until(calendar.before(late, tier.spread + instant))
    if begun is None:
        return ()
    before = schedule.latest_until(begun - instant)
    runs = [before] if before is not None else []
    opened = late if calendar.after(late) == late else calendar.before(late, instant)
    while begun <= opened:
        runs.append(begun)
        begun = schedule.next_after(begun)
    return tuple(runs)
