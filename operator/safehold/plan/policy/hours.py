"""The hours in which runs may start: weekly windows, less weekly and single blackouts, in a time zone.

Where the clock is changed, an hour that comes twice is in a window, or in a blackout, both times; hours that begin or
end at a time that is left out begin or end when the clock is put forward.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Self
from zoneinfo import ZoneInfo

from safehold.api.timing import Blackout, Timing, Window
from safehold.errors import SpecError
from safehold.plan.policy.schedule import time_zone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HORIZON = timedelta(days=400)
"""How far a calendar reaches into the past and the future: more than a year, for `@yearly`."""
_MONTH = timedelta(days=31)
_EVER = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time; its end is no part of it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """The same hours on some days of the week (0 is Monday), as minutes of the day; they may end on the next one."""

    days: frozenset[int]
    opens: int
    closes: int

    @classmethod
    def of(cls, days: Iterable[str] | None, opens: str, closes: str) -> Self:
        """From their spelling in a spec."""
        first, last = _minutes(opens), _minutes(closes)
        chosen = frozenset(map(_DAYS.index, days)) if days is not None else frozenset(range(7))
        return cls(chosen, first, last if last > first else last + 24 * 60)

    def on(self, days: Iterable[date], zone: ZoneInfo) -> Iterator[Span]:
        """When they are, on those of the days that are theirs."""
        for day in days:
            if day.weekday() in self.days:
                yield Span(_moment(day, self.opens, zone, fold=0), _moment(day, self.closes, zone, fold=1))


class OpenTime:
    """A calendar: the stretches of time in which runs may start, and how much of it passes between two moments."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = tuple(spans)
        self._starts = [span.start for span in self.spans]
        self._elapsed = [timedelta()]
        for span in self.spans:
            self._elapsed.append(self._elapsed[-1] + (span.end - span.start))

    def after(self, moment: datetime, wait: timedelta = timedelta()) -> datetime:
        """The first open moment at which `wait` of open time has passed since `moment`.

        Where the calendar ends before that, its end: too far away to matter yet.
        """
        return self._at(self._passed(moment) + wait)

    def before(self, moment: datetime, wait: timedelta) -> datetime:
        """The last moment since which `wait` of open time has passed until `moment`; at least the calendar's start."""
        return self._at(max(timedelta(), self._passed(moment) - wait))

    def closing(self, moment: datetime) -> datetime | None:
        """When the hours that `moment` lies in end; None where nothing ever closes."""
        place = bisect_right(self._starts, moment) - 1
        end = self.spans[place].end if place >= 0 else None
        return None if end == _EVER[1] else end

    def remaining(self, moment: datetime) -> tuple[Span, ...]:
        """What is open after `moment`."""
        place = max(0, bisect_right(self._starts, moment) - 1)
        return tuple(span for span in self.spans[place:] if span.end > moment)

    def _passed(self, moment: datetime) -> timedelta:
        place = bisect_right(self._starts, moment) - 1
        if place < 0:
            return timedelta()
        return self._elapsed[place] + min(moment, self.spans[place].end) - self._starts[place]

    def _at(self, elapsed: timedelta) -> datetime:
        place = bisect_right(self._elapsed, elapsed) - 1
        if place >= len(self.spans):
            return self.spans[-1].end
        return self._starts[place] + (elapsed - self._elapsed[place])


@dataclass(frozen=True, slots=True)
class AllowedHours:
    """When runs may start, as a spec says it."""

    zone: ZoneInfo
    windows: tuple[WeeklyHours, ...]
    blackouts: tuple[WeeklyHours, ...]
    closures: tuple[Span, ...]

    @classmethod
    def parse(cls, spec: Timing) -> Self:
        """Check them; a SpecError says what is wrong."""
        blackouts = spec.blackouts or []
        weekly = [blackout for blackout in blackouts if blackout.from_ is not None]
        single = [blackout for blackout in blackouts if blackout.from_ is None]
        return cls(
            time_zone(spec.time_zone),
            tuple(_weekly(window) for window in spec.windows or []),
            tuple(_weekly(blackout) for blackout in weekly),
            tuple(_closure(blackout) for blackout in single),
        )

    def calendar(self, now: datetime) -> OpenTime:
        """What is open in the year around `now`; everything where nothing is said."""
        if not (self.windows or self.blackouts or self.closures):
            return _ALWAYS
        return _calendar(self, now.astimezone(UTC).date().replace(day=1))


_ALWAYS = OpenTime([Span(*_EVER)])


@lru_cache(maxsize=256)
def _calendar(hours: AllowedHours, month: date) -> OpenTime:
    first, last = month - HORIZON, month + HORIZON + _MONTH
    days = [first + timedelta(days=count) for count in range((last - first).days)]
    whole = Span(_moment(first, 0, hours.zone, fold=0), _moment(last, 0, hours.zone, fold=0))
    opened = [span for window in hours.windows for span in window.on(days, hours.zone)] or [whole]
    closed = [span for blackout in hours.blackouts for span in blackout.on(days, hours.zone)]
    return OpenTime(_open_spans(opened, [*closed, *hours.closures]))


def _open_spans(opened: Iterable[Span], closed: Iterable[Span]) -> Iterator[Span]:
    """What lies in at least one of the first, and in none of the second, in order and without touching each other."""
    edges = [
        edge
        for spans, weight in ((opened, (1, 0)), (closed, (0, 1)))
        for span in spans
        if span.start < span.end
        for edge in ((span.start, *weight), (span.end, -weight[0], -weight[1]))
    ]
    opens = closures = 0
    since: datetime | None = None
    for moment, group in groupby(sorted(edges), key=lambda edge: edge[0]):
        for _, opening, closure in group:
            opens, closures = opens + opening, closures + closure
        is_open = opens > 0 and closures == 0
        if is_open and since is None:
            since = moment
        elif not is_open and since is not None:
            yield Span(since, moment)
            since = None


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _moment(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> datetime:
    days, rest = divmod(minutes, 24 * 60)
    clock = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), zone)
    moment = clock.replace(fold=fold).astimezone(UTC)
    return moment if moment.astimezone(zone).time() == clock.time() else _put_forward(clock, zone)


def _put_forward(clock: datetime, zone: ZoneInfo) -> datetime:
    """When the clock is put forward over this time of the day, to the second."""
    # By the offset that is to come it would be before the change, by the old one after it (PEP 495).
    before, after = (clock.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    offset = before.astimezone(zone).utcoffset()

    def is_changed(seconds: int) -> bool:
        return (before + timedelta(seconds=seconds)).astimezone(zone).utcoffset() != offset

    within = range(int((after - before).total_seconds()) + 1)
    return before + timedelta(seconds=bisect_left(within, True, key=is_changed))


def _weekly(hours: Window | Blackout) -> WeeklyHours:
    if hours.from_ is None or hours.to is None:
        raise SpecError(
            "hours in spec.blackouts are incomplete",
            found=str(hours.to_wire()),
            remedy="write from and to, or start and end",
        )
    return WeeklyHours.of(hours.days, hours.from_, hours.to)


def _closure(blackout: Blackout) -> Span:
    if blackout.start is None or blackout.end is None or blackout.start >= blackout.end:
        raise SpecError(
            "a blackout in spec.blackouts has no end after its start",
            found=str(blackout.to_wire()),
            remedy="write the earlier time as start and the later one as end",
        )
    return Span(blackout.start, blackout.end)
