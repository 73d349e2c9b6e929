"""When policies run."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.errors import SpecError
from safehold.plan.policy.schedule import Schedule
from safehold.reasons import Reason

BERLIN, LORD_HOWE, NEW_YORK = "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"


def utc(text: str) -> datetime:
    """`2026-11-22 14:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "runs"),
    [
        ("0 3 * * *", "UTC", "2026-11-22 02:59", ["2026-11-22 03:00", "2026-11-23 03:00"]),
        ("0 3 * * *", "UTC", "2026-11-22 03:00", ["2026-11-23 03:00"]),
        ("0 3 * * *", BERLIN, "2026-11-22 00:00", ["2026-11-22 02:00"]),
        ("0 */4 * * *", BERLIN, "2026-07-01 00:00", ["2026-07-01 02:00", "2026-07-01 06:00"]),
        ("*/15 9-10 * * MON", "UTC", "2026-11-22 12:00", ["2026-11-23 09:00", "2026-11-23 09:15"]),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["2028-02-29 00:00"]),
        ("@hourly", "UTC", "2026-11-22 12:10", ["2026-11-22 13:00", "2026-11-22 14:00"]),
        ("@daily", BERLIN, "2026-11-22 12:00", ["2026-11-22 23:00", "2026-11-23 23:00"]),
        ("@weekly", "UTC", "2026-11-23 00:00", ["2026-11-29 00:00", "2026-12-06 00:00"]),
        ("@monthly", "UTC", "2026-11-23 00:00", ["2026-12-01 00:00", "2027-01-01 00:00"]),
        ("@yearly", "UTC", "2026-11-23 00:00", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("0 0 L * *", "UTC", "2026-02-01 00:00", ["2026-02-28 00:00", "2026-03-31 00:00"]),
    ],
)
def test_next_runs(cron: str, zone: str, after: str, runs: list[str]) -> None:
    """The runs that follow a moment are those of the cron line in its zone; the moment itself is not one of them."""
    schedule, moment = Schedule.parse(cron, zone), utc(after)
    for run in runs:
        moment = schedule.next_after(moment)
        assert moment == utc(run)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "runs"),
    [
        # 2026-03-29 in Berlin: 02:00 to 03:00 is left out.
        ("30 2 * * *", BERLIN, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("*/30 * * * *", BERLIN, "2026-03-29 00:20", ["2026-03-29 00:30", "2026-03-29 01:00"]),
        # 2026-10-25 in Berlin: 02:00 to 03:00 comes twice.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25 00:40", ["2026-10-26 01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25 01:10", ["2026-10-26 01:30"]),
        ("30 * * * *", BERLIN, "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 01:30"]),
        # 2026-11-01 in New York: 01:00 to 02:00 comes twice.
        ("15 1 * * *", NEW_YORK, "2026-10-31 12:00", ["2026-11-01 05:15", "2026-11-02 06:15"]),
        # 2026-10-04 on Lord Howe: 02:00 to 02:30 is left out.
        ("10 2 * * *", LORD_HOWE, "2026-10-03 12:00", ["2026-10-03 15:30", "2026-10-04 15:10"]),
    ],
)
def test_clock_changes(cron: str, zone: str, after: str, runs: list[str]) -> None:
    """A fixed time that is left out runs right after the gap, one that comes twice runs once; a star follows time."""
    test_next_runs(cron, zone, after, runs)


@pytest.mark.parametrize(
    ("line", "now", "latest"),
    [
        ("0 * * * *", "2026-11-22 04:00", "2026-11-22 04:00"),
        ("0 * * * *", "2026-11-22 04:59:59", "2026-11-22 04:00"),
        ("0 * * * *", "2026-11-25 09:59:59.500", "2026-11-25 09:00"),
        ("@yearly", "2026-11-22 04:00", "2026-01-01 00:00"),
    ],
)
def test_latest_run(line: str, now: str, latest: str) -> None:
    """The latest run is the last one at or before a moment."""
    assert Schedule.parse(line, "UTC").latest_until(utc(now)) == utc(latest)


@pytest.mark.parametrize(
    ("line", "hours"), [("@hourly", 1), ("0 3,5 * * *", 2), ("@weekly", 168), ("0 0 1 * *", 28 * 24), ("@daily", 24)]
)
def test_shortest_interval(line: str, hours: int) -> None:
    """The shortest time between runs is that of the two that are nearest to each other."""
    assert Schedule.parse(line, "UTC").shortest_interval() == timedelta(hours=hours)


def test_a_day_of_a_clock_change_counts() -> None:
    """A daily run is 23 hours after the one before, where the clock is put forward in between."""
    assert Schedule.parse("@daily", BERLIN).shortest_interval() == timedelta(hours=23)


@pytest.mark.parametrize(
    ("cron", "remedy"),
    [
        ("", "minute, hour"),
        ("every day", "minute, hour"),
        ("@never", "minute, hour"),
        ("0 3 * *", "minute, hour"),
        ("0 0 3 * * *", "minute, hour"),
        ("60 3 * * *", "Bad minute"),
        ("0 24 * * *", "Bad hour"),
        ("0 3 * * FOO", "Bad day-of-week"),
        ("0 3 30 2 *", "Bad day-of-month"),
        ("0 0 */31 2 MON#5", "no day fits"),
        ("CRON_TZ=Europe/Berlin 0 3 * * *", "spec.timeZone"),
    ],
)
def test_bad_cron(cron: str, remedy: str) -> None:
    """What is no cron line of five fields, or never comes, is refused with what is wrong and how to write it."""
    with pytest.raises(SpecError, match=remedy) as refused:
        Schedule.parse(cron, "UTC")
    assert refused.value.reason is Reason.INVALID_SCHEDULE
    assert repr(cron) in str(refused.value)


@pytest.mark.parametrize("zone", ["Europe/Berlim", "CET+1", "../etc/passwd", "/etc/localtime", "Europe", ""])
def test_unknown_time_zone(zone: str) -> None:
    """A name that the time zone database does not have is refused, with an example of one that it has."""
    with pytest.raises(SpecError, match="Europe/Berlin") as refused:
        Schedule.parse("0 3 * * *", zone)
    assert refused.value.reason is Reason.UNKNOWN_TIME_ZONE


CRONS = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "30 * * * *",
        "30 2 * * *",
        "0 0 * * SUN",
        "15 1,2,3 * * *",
        "0 12 1 * *",
        "5 */3 * * *",
    ]
)
ZONES = st.sampled_from(["UTC", BERLIN, LORD_HOWE, NEW_YORK, "Asia/Kathmandu", "America/St_Johns"])
MOMENTS = st.integers(0, 3 * 365 * 86400 * 1000).map(lambda millis: utc("2024-01-01") + timedelta(milliseconds=millis))


@given(CRONS, ZONES, MOMENTS)
def test_next_is_later(cron: str, zone: str, moment: datetime) -> None:
    """The next run is after the moment, also within hours that come twice, and it is the latest once it comes."""
    schedule = Schedule.parse(cron, zone)
    run = schedule.next_after(moment)
    assert run > moment
    assert schedule.latest_until(run) == run
    before = schedule.latest_until(run - timedelta(microseconds=1))
    assert before is not None
    assert before <= moment
