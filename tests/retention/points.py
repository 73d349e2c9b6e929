"""Points of one VM, as tables write them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from safehold.retention.verdicts import Point, Verdict

POLICY = "policy-uid"


def utc(text: str, zone: str = "UTC") -> datetime:
    """`2026-11-22 14:00`, or a day alone, on the clocks of a zone, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def daily(last: str, count: int) -> list[datetime]:
    """A run every 24 hours, newest first."""
    return [utc(last) - timedelta(days=number) for number in range(count)]


def points(times: Iterable[datetime], governor: str | None = POLICY) -> list[Point]:
    """A point of each time, named by it, all verified."""
    return [Point(id=f"{time:%Y-%m-%d %H:%M}", time=time, governor=governor, verified=True) for time in times]


def kept(verdicts: Iterable[Verdict]) -> list[str]:
    """The names of those that stay."""
    return [verdict.point.id for verdict in verdicts if verdict.keep]
