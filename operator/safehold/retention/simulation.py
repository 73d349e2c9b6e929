"""Years of one VM's restore points in moments: what a policy's runs make, and what retention leaves of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from safehold.retention.rules import RetentionRules
from safehold.retention.verdicts import Machine, Point, Verdict, going, judge

_AHEAD = timedelta(days=400)
"""How far behind the end deletions are looked for: once a year something goes under every rule that is full."""
_EXISTS = Machine()


@dataclass(frozen=True, slots=True)
class YearEnd:
    """What there is after a maintenance at the end of a year, counted from the start."""

    at: datetime
    points: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A point that a maintenance forgot."""

    at: datetime
    time: datetime
    governor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of it. `peak` is the largest number of points that there were at once."""

    made: int
    forgotten: int
    peak: int
    peak_at: datetime | None
    years: tuple[YearEnd, ...]
    kept: tuple[Verdict, ...]
    next: tuple[Deleted, ...]


@dataclass(slots=True)
class _Catalogue:
    rules: Mapping[str, RetentionRules]
    points: list[Point] = field(default_factory=list)
    made: int = 0
    forgotten: int = 0
    peak: int = 0
    peak_at: datetime | None = None

    def add(self, at: datetime, governor: str) -> None:
        self.made += 1
        self.points.append(Point(id=f"{self.made:08d}", time=at, governor=governor, verified=True))
        if len(self.points) > self.peak:
            self.peak, self.peak_at = len(self.points), at

    def judge(self, now: datetime) -> list[Verdict]:
        return judge(self.points, self.rules, _EXISTS, now)

    def maintain(self, now: datetime) -> list[Deleted]:
        verdicts = self.judge(now)
        self.points = [verdict.point for verdict in reversed(verdicts) if verdict.keep]
        gone = [
            Deleted(now, verdict.point.time, verdict.point.governor or "", verdict.reason)
            for verdict in going(verdicts)
        ]
        self.forgotten += len(gone)
        return gone


def simulate(
    rules: Mapping[str, RetentionRules],
    runs: Iterable[tuple[datetime, str]],
    maintenance: Iterable[datetime],
    *,
    year_ends: tuple[datetime, ...],
    upcoming: int,
) -> Simulated:
    """Play runs and maintenance, both endless and in order, until the last of `year_ends`, and `upcoming` deletions on.

    `runs` come with the governor of their points, whose rules `rules` has. Every run makes a point that is complete and
    read whole; at the same moment the maintenance comes after the run.
    """
    catalogue = _Catalogue(rules)
    ends, years = list(year_ends), list[YearEnd]()
    kept: tuple[Verdict, ...] = ()
    following: list[Deleted] = []
    counts = (0, 0, 0, catalogue.peak_at)
    for at, governor in _merged(runs, maintenance):
        while ends and at >= ends[0]:
            times = [point.time for point in catalogue.points]
            years.append(YearEnd(ends.pop(0), len(times), min(times, default=None)))
            kept = tuple(catalogue.judge(years[-1].at))
            counts = (catalogue.made, catalogue.forgotten, catalogue.peak, catalogue.peak_at)
        if not ends and (len(following) >= upcoming or at > year_ends[-1] + _AHEAD):
            break
        if governor is not None:
            catalogue.add(at, governor)
            continue
        gone = catalogue.maintain(at)
        following += [] if ends else gone
    made, forgotten, peak, peak_at = counts
    return Simulated(
        made=made,
        forgotten=forgotten,
        peak=peak,
        peak_at=peak_at,
        years=tuple(years),
        kept=kept,
        next=tuple(following[:upcoming]),
    )


def _merged(
    runs: Iterable[tuple[datetime, str]], maintenance: Iterable[datetime]
) -> Iterator[tuple[datetime, str | None]]:
    """Both in order of time, runs with their governor; only the moments at which something happens are looked at."""
    made, looks = iter(runs), iter(maintenance)
    run, look = next(made), next(looks)
    while True:
        if run[0] <= look:
            yield run
            run = next(made)
        else:
            yield look, None
            look = next(looks)
