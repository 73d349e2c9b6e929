"""The hours, days, weeks, months and years of which retention keeps the newest point."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from safehold.retention.rules import RetentionRules


@dataclass(frozen=True, slots=True)
class Tier:
    """A rule that keeps one point of each of so many periods. `label` names the period of a local time."""

    rule: str
    unit: str
    count: int
    label: Callable[[datetime], str]


def tiers_of(rules: RetentionRules) -> tuple[Tier, ...]:
    """The rules by period that are in use, in the order in which they are applied: short periods first."""
    found = (
        Tier("keepHourly", "hour", rules.keep_hourly, _hour),
        Tier("keepDaily", "day", rules.keep_daily, _day),
        Tier("keepWeekly", "week", rules.keep_weekly, _week),
        Tier("keepMonthly", "month", rules.keep_monthly, _month),
        Tier("keepYearly", "year", rules.keep_yearly, _year),
    )
    return tuple(tier for tier in found if tier.count)


@lru_cache(maxsize=65_536)
def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The time on the wall. Points are judged again and again, and the database of zones is slow."""
    return moment.astimezone(zone)


# An hour that the clock repeats is one hour, as in Proxmox Backup Server.
def _hour(wall: datetime) -> str:
    return f"{_day(wall)} {wall.hour:02d}:00"


def _day(wall: datetime) -> str:
    return f"{wall.year:04d}-{wall.month:02d}-{wall.day:02d}"


def _week(wall: datetime) -> str:
    """By ISO 8601: weeks begin on Monday, and belong to the year of their Thursday."""
    year, week, _ = wall.isocalendar()
    return f"{year:04d}-W{week:02d}"


def _month(wall: datetime) -> str:
    return f"{wall.year:04d}-{wall.month:02d}"


def _year(wall: datetime) -> str:
    return f"{wall.year:04d}"
