"""What the keep rules choose: the semantics that Proxmox Backup Server publishes."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.retention.points import daily, utc

from safehold.retention.rules import RetentionRules
from safehold.retention.selection import choose, in_words

QUARTERS = ["2026-11-22 22:00", "2026-11-22 12:00", "2026-11-22 11:30", "2026-11-21 22:00", "2026-11-19 22:00"]


@pytest.mark.parametrize(
    ("rules", "times", "kept"),
    [
        pytest.param(RetentionRules(keep_last=2), QUARTERS, QUARTERS[:2], id="the newest, whatever their periods"),
        pytest.param(
            RetentionRules(keep_daily=3),
            QUARTERS,
            ["2026-11-22 22:00", "2026-11-21 22:00", "2026-11-19 22:00"],
            id="the newest of a day; a day without points does not count",
        ),
        pytest.param(
            RetentionRules(keep_hourly=2),
            ["2026-11-22 12:59", "2026-11-22 12:00", "2026-11-22 03:10", "2026-11-22 02:10"],
            ["2026-11-22 12:59", "2026-11-22 03:10"],
            id="the newest of an hour; an hour without points does not count",
        ),
        pytest.param(
            RetentionRules(keep_last=2, keep_daily=1),
            QUARTERS,
            ["2026-11-22 22:00", "2026-11-22 12:00", "2026-11-21 22:00"],
            id="a day of which an earlier rule keeps a point is covered, and does not count",
        ),
        pytest.param(
            RetentionRules(keep_daily=2, keep_weekly=1),
            ["2026-11-22", "2026-11-21", "2026-11-20", "2026-11-15", "2026-11-14"],
            ["2026-11-22", "2026-11-21", "2026-11-15"],
            id="a later rule looks only beyond the weeks of those before",
        ),
        pytest.param(
            RetentionRules(keep_weekly=2),
            ["2027-01-03", "2027-01-01", "2026-12-31", "2026-12-28", "2026-12-27"],
            ["2027-01-03", "2026-12-27"],
            id="weeks are of ISO 8601: the days around a new year are of one",
        ),
        pytest.param(
            RetentionRules(keep_monthly=2, keep_yearly=1),
            ["2026-02-10", "2026-01-31", "2025-12-31", "2025-06-30", "2024-12-31"],
            ["2026-02-10", "2026-01-31", "2025-12-31"],
            id="months and years",
        ),
        pytest.param(
            RetentionRules(keep_within=timedelta(days=2), keep_daily=1),
            ["2026-11-22", "2026-11-21", "2026-11-20", "2026-11-19 23:59", "2026-11-18"],
            ["2026-11-22", "2026-11-21", "2026-11-20", "2026-11-19 23:59"],
            id="keepWithin counts from the newest, and the next rule looks beyond it",
        ),
        pytest.param(
            RetentionRules(keep_last=2, keep_within=timedelta(days=1)),
            ["2026-11-22", "2026-11-21", "2026-11-20"],
            ["2026-11-22", "2026-11-21"],
            id="keepWithin does not put off keepLast",
        ),
        pytest.param(RetentionRules(keep_daily=5), [], [], id="nothing"),
    ],
)
def test_choices(rules: RetentionRules, times: list[str], kept: list[str]) -> None:
    """The rules keep these points and no other."""
    choices = choose([utc(time) for time in times], rules)
    assert [time for time, choice in zip(times, choices, strict=True) if choice.keep] == kept


def test_the_documented_example() -> None:
    """Three years of daily points under last 3, daily 13, weekly 8, monthly 11, yearly 9."""
    rules = RetentionRules(keep_last=3, keep_daily=13, keep_weekly=8, keep_monthly=11, keep_yearly=9)
    times = daily("2026-11-22", 1097)
    kept = [f"{time:%Y-%m-%d}" for time, choice in zip(times, choose(times, rules), strict=True) if choice.keep]
    assert kept == [
        *(f"{time:%Y-%m-%d}" for time in daily("2026-11-22", 16)),
        *(
            "2026-11-01",
            "2026-10-25",
            "2026-10-18",
            "2026-10-11",
            "2026-10-04",
            "2026-09-27",
            "2026-09-20",
            "2026-09-13",
        ),
        *(
            "2026-08-31",
            "2026-07-31",
            "2026-06-30",
            "2026-05-31",
            "2026-04-30",
            "2026-03-31",
            "2026-02-28",
            "2026-01-31",
        ),
        *("2025-12-31", "2025-11-30", "2025-10-31"),
        *("2024-12-31", "2023-12-31"),
    ]


@pytest.mark.parametrize(
    ("zone", "kept"),
    [
        ("UTC", ["2026-11-22 22:30", "2026-11-21 23:30"]),
        ("Europe/Berlin", ["2026-11-22 22:30", "2026-11-21 22:30"]),
        ("America/New_York", ["2026-11-22 22:30", "2026-11-22 04:30"]),
    ],
)
def test_periods_begin_in_the_zone_of_the_policy(zone: str, kept: list[str]) -> None:
    """A point shortly before midnight of UTC is one of the next day in Berlin, one after it of the last in New York."""
    times = ["2026-11-22 22:30", "2026-11-22 04:30", "2026-11-21 23:30", "2026-11-21 22:30"]
    choices = choose([utc(time) for time in times], RetentionRules(keep_daily=2, zone=ZoneInfo(zone)))
    assert [time for time, choice in zip(times, choices, strict=True) if choice.keep] == kept


def test_an_hour_that_comes_twice_is_one() -> None:
    """When the clock is put back, the newer of both passes through the hour stays."""
    times = [utc("2026-10-25 01:30"), utc("2026-10-25 00:30"), utc("2026-10-24 23:30")]
    choices = choose(times, RetentionRules(keep_hourly=2, zone=ZoneInfo("Europe/Berlin")))
    assert [choice.keep for choice in choices] == [True, False, True]


def test_reasons_name_rule_and_period() -> None:
    """Whoever reads why a point stays or goes finds the rule, the period and how far it is used up."""
    rules = RetentionRules(keep_last=1, keep_daily=1, keep_weekly=1)
    times = ["2026-11-22 12:00", "2026-11-21 12:00", "2026-11-20 12:00", "2026-11-15 12:00", "2026-11-14 12:00"]
    times.append("2026-11-08 12:00")
    assert [choice.reason for choice in choose([utc(time) for time in times], rules)] == [
        "keepLast: number 1 of 1",
        "keepDaily: newest of the day 2026-11-21, number 1 of 1",
        "newer points use up keepLast 1, keepDaily 1, keepWeekly 1",
        "keepWeekly: newest of the week 2026-W46, number 1 of 1",
        "keepWeekly: a newer point of the week 2026-W46 is kept",
        "newer points use up keepLast 1, keepDaily 1, keepWeekly 1",
    ]


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(days=90), "90d"),
        (timedelta(hours=30), "1d6h"),
        (timedelta(minutes=5, seconds=1), "5m1s"),
        (timedelta(), "0s"),
    ],
)
def test_times_in_words(time: timedelta, words: str) -> None:
    """Times are told as policies write them."""
    assert in_words(time) == words
