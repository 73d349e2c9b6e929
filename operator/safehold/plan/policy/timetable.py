"""What a policy's spec says about time, checked: its tiers, the hours in which runs may start, and how late."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from safehold.api.durations import parse_duration
from safehold.api.timing import Timing
from safehold.errors import SpecError
from safehold.plan.policy.hours import HORIZON, AllowedHours, OpenTime
from safehold.plan.policy.schedule import Schedule
from safehold.reasons import Reason

_DECISIVE = ("schedule", "schedules", "time_zone", "spread", "windows", "blackouts", "starting_deadline")
_BESIDE = {"schedules": {"__all__": {"retention"}}}
"""What is written among them, and says nothing about starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One rhythm of a policy. `name` is empty for the only one that `spec.schedule` is."""

    name: str
    schedule: Schedule
    spread: timedelta

    def offset(self, uid: str) -> timedelta:
        """How long after a run time the VM with this uid starts: always the same, in whole seconds, evenly spread."""
        number = int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest())
        return timedelta(seconds=number * int(self.spread.total_seconds()) >> 64)

    def last_runs(self, calendar: OpenTime, now: datetime) -> list[datetime]:
        """Every run that may have been some VM's last one to start until `now`, and the one after `now`."""
        runs = list(self._runs_from(self.schedule.latest_until(calendar.before(now, self.spread)), now))
        return [*runs, self.schedule.next_after(now)]

    def _runs_from(self, first: datetime | None, now: datetime) -> Iterator[datetime]:
        run = first or self.schedule.next_after(now - self.spread)
        while run <= now:
            yield run
            run = self.schedule.next_after(run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """When the runs of a policy start, on a calendar around one moment."""

    tiers: tuple[Tier, ...]
    calendar: OpenTime
    deadline: timedelta | None = None
    """How late a start may be; None: however late."""

    @classmethod
    def parse(cls, spec: Timing, now: datetime) -> Self:
        """Check it; a SpecError says what is wrong and what to write."""
        spread, deadline = spec.spread, spec.starting_deadline
        lines = [(tier.name, tier.schedule, tier.spread or spread) for tier in spec.schedules or []]
        if spec.schedule is not None:
            lines.append(("", spec.schedule, spread))
        timetable = cls(
            tiers=tuple(_tier(name, line, spec.time_zone, spread) for name, line, spread in lines),
            calendar=AllowedHours.parse(spec).calendar(now),
            deadline=parse_duration(deadline) if deadline else None,
        )
        timetable._check_hours(now)
        return timetable

    def next_run(self, tier: Tier, now: datetime) -> datetime:
        """When the tier's next run may start: its run time, or when the hours after it open."""
        last = tier.schedule.latest_until(now)
        waiting = now if last is None else self.calendar.after(last)
        return waiting if waiting > now else self.calendar.after(tier.schedule.next_after(now))

    def _check_hours(self, now: datetime) -> None:
        """A SpecError where no run can ever start."""
        if not self.calendar.remaining(now):
            raise SpecError(
                "spec.windows and spec.blackouts leave no moment for a run to start within a year",
                remedy="widen a window or shorten a blackout",
                reason=Reason.NO_ALLOWED_TIME,
            )
        for tier in self.tiers:
            if not self._can_start(tier, now):
                raise SpecError(
                    f"no run of {tier.name or 'spec.schedule'} can start within spec.startingDeadline:"
                    " the hours after each are closed for longer",
                    found=f"`{tier.schedule.cron}` with a deadline of {self.deadline}",
                    remedy="write a schedule that lies in spec.windows, or a longer deadline",
                    reason=Reason.NO_ALLOWED_TIME,
                )

    def _can_start(self, tier: Tier, now: datetime) -> bool:
        deadline = self.deadline
        if deadline is None or tier.schedule.next_after(now) > now + HORIZON:
            return True
        # A run counts from its own time on, and one moment before that is where the search for it begins.
        return any(
            tier.schedule.next_after(span.start - deadline - timedelta.resolution) < span.end
            for span in self.calendar.remaining(now)
        )


def schedule_digest(spec: Timing) -> str:
    """What two specs have in common that start their runs at the same moments."""
    decisive = spec.model_dump(mode="json", include=set(_DECISIVE), exclude=_BESIDE)
    return hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=8).hexdigest()


def _tier(name: str, line: str, zone: str, spread: str | None) -> Tier:
    schedule, over = Schedule.parse(line, zone), parse_duration(spread) if spread else timedelta()
    if over and over >= (shortest := schedule.shortest_interval()):
        raise SpecError(
            f"the spread of {name or 'spec.schedule'} is as long as the time between two of its runs",
            expected=f"less than {shortest}",
            found=spread,
            remedy="write a shorter spread",
            reason=Reason.SPREAD_TOO_LONG,
        )
    return Tier(name=name, schedule=schedule, spread=over)
