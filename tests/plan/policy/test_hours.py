"""Hours in which runs may start."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.timing import Timing
from safehold.errors import SpecError
from safehold.plan.policy.hours import AllowedHours, OpenTime

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"
NEW_YORK, SANTIAGO = "America/New_York", "America/Santiago"
NIGHTS = {"from": "22:00", "to": "06:00"}
WEEKENDS = {"days": ["Sat", "Sun"], "from": "00:00", "to": "24:00"}
OFFICE = {"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "08:00", "to": "18:00"}
CHRISTMAS = {"start": "2026-12-24T00:00:00Z", "end": "2026-12-27T00:00:00Z"}


def utc(text: str) -> datetime:
    """`2026-11-22 14:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(now: str | datetime, zone: str = "UTC", **spec: Any) -> OpenTime:
    """What is open around a moment. 2026-11-22 is a Sunday."""
    hours = AllowedHours.parse(Timing.model_validate({"timeZone": zone, **spec}))
    return hours.calendar(utc(now) if isinstance(now, str) else now)


@pytest.mark.parametrize(
    ("spec", "moment", "opens"),
    [
        ({}, "2026-11-23 12:00", "2026-11-23 12:00"),
        ({"windows": [NIGHTS]}, "2026-11-23 12:00", "2026-11-23 22:00"),
        ({"windows": [NIGHTS]}, "2026-11-23 23:30", "2026-11-23 23:30"),
        ({"windows": [NIGHTS]}, "2026-11-24 05:59", "2026-11-24 05:59"),
        ({"windows": [NIGHTS]}, "2026-11-24 06:00", "2026-11-24 22:00"),
        ({"windows": [WEEKENDS]}, "2026-11-23 12:00", "2026-11-28 00:00"),
        ({"windows": [WEEKENDS, NIGHTS]}, "2026-11-28 12:00", "2026-11-28 12:00"),
        ({"windows": [{**NIGHTS, "days": ["Fri"]}]}, "2026-11-28 03:00", "2026-11-28 03:00"),
        ({"windows": [{**NIGHTS, "days": ["Fri"]}]}, "2026-11-27 03:00", "2026-11-27 22:00"),
        ({"blackouts": [OFFICE]}, "2026-11-23 12:00", "2026-11-23 18:00"),
        ({"blackouts": [OFFICE]}, "2026-11-22 12:00", "2026-11-22 12:00"),
        ({"windows": [NIGHTS], "blackouts": [CHRISTMAS]}, "2026-12-24 03:00", "2026-12-27 00:00"),
        (
            {"windows": [NIGHTS], "blackouts": [{"from": "21:00", "to": "23:00"}]},
            "2026-11-23 12:00",
            "2026-11-23 23:00",
        ),
    ],
)
def test_first_open_moment(spec: dict[str, Any], moment: str, opens: str) -> None:
    """A moment outside of every window, or in a blackout, waits for the next opening; any other is open itself."""
    assert calendar(moment, **spec).after(utc(moment)) == utc(opens)


@pytest.mark.parametrize(
    ("zone", "window", "moment", "opens"),
    [
        # 2026-03-29 in Berlin: 02:00 to 03:00 is left out.
        (BERLIN, {"from": "02:30", "to": "05:00"}, "2026-03-28 23:00", "2026-03-29 01:00"),
        (BERLIN, {"from": "00:00", "to": "02:30"}, "2026-03-29 00:59", "2026-03-29 00:59"),
        (BERLIN, {"from": "00:00", "to": "02:30"}, "2026-03-29 01:00", "2026-03-29 22:00"),
        (BERLIN, {"days": ["Sat"], "from": "22:00", "to": "02:30"}, "2026-03-29 00:59", "2026-03-29 00:59"),
        (BERLIN, {"days": ["Sat"], "from": "22:00", "to": "02:30"}, "2026-03-29 01:00", "2026-04-04 20:00"),
        (BERLIN, {"from": "02:00", "to": "03:00"}, "2026-03-28 23:00", "2026-03-30 00:00"),
        # 2026-10-25 in Berlin: 02:00 to 03:00 comes twice, and both belong to a window that has it.
        (BERLIN, {"from": "02:00", "to": "03:00"}, "2026-10-25 01:30", "2026-10-25 01:30"),
        (BERLIN, {"from": "02:00", "to": "03:00"}, "2026-10-25 02:00", "2026-10-26 01:00"),
        (NEW_YORK, {"from": "22:00", "to": "06:00"}, "2026-07-01 12:00", "2026-07-02 02:00"),
        # 2026-10-04 on Lord Howe: 02:00 to 02:30 is left out.
        (LORD_HOWE, {"from": "01:30", "to": "03:00"}, "2026-10-03 15:29", "2026-10-03 15:29"),
        (LORD_HOWE, {"from": "02:10", "to": "03:00"}, "2026-10-03 12:00", "2026-10-03 15:30"),
        # 2026-04-05 on Lord Howe: 01:30 to 02:00 comes twice.
        (LORD_HOWE, {"from": "01:30", "to": "01:45"}, "2026-04-04 15:14", "2026-04-04 15:14"),
        (LORD_HOWE, {"from": "01:30", "to": "01:45"}, "2026-04-04 15:15", "2026-04-05 15:00"),
        # 2026-09-06 in Santiago: the day begins at 01:00.
        (SANTIAGO, {"days": ["Sun"], "from": "00:00", "to": "02:00"}, "2026-09-05 12:00", "2026-09-06 04:00"),
    ],
)
def test_clock_changes(zone: str, window: dict[str, str], moment: str, opens: str) -> None:
    """Windows are in the policy's zone, also on the days on which its clock is changed."""
    assert calendar(moment, zone, windows=[window]).after(utc(moment)) == utc(opens)


@pytest.mark.parametrize(
    ("blackout", "moment", "opens"),
    [
        ({"from": "00:00", "to": "02:30"}, "2026-03-29 00:45", "2026-03-29 01:00"),
        ({"from": "02:30", "to": "05:00"}, "2026-03-29 01:15", "2026-03-29 03:00"),
        ({"from": "02:00", "to": "02:30"}, "2026-03-29 01:15", "2026-03-29 01:15"),
        ({"from": "01:00", "to": "02:30"}, "2026-10-25 01:15", "2026-10-25 01:30"),
    ],
)
def test_blackouts_hold_while_the_clock_is_changed(blackout: dict[str, str], moment: str, opens: str) -> None:
    """In Berlin, up to the change or from it on where an end is left out, and in both hours that have one name."""
    assert calendar(moment, BERLIN, blackouts=[blackout]).after(utc(moment)) == utc(opens)


def test_waiting_stops_in_closed_hours() -> None:
    """Three hours of open time after 04:00, in nights that end at 06:00, are over at 23:00."""
    assert calendar("2026-11-23 04:00", windows=[NIGHTS]).after(utc("2026-11-23 04:00"), timedelta(hours=3)) == utc(
        "2026-11-23 23:00"
    )


@pytest.mark.parametrize(
    ("spec", "moment", "closes"),
    [
        ({}, "2026-11-23 12:00", None),
        ({"windows": [NIGHTS]}, "2026-11-23 23:00", "2026-11-24 06:00"),
        ({"windows": [NIGHTS]}, "2026-11-23 22:00", "2026-11-24 06:00"),
        ({"blackouts": [CHRISTMAS]}, "2026-12-01 00:00", "2026-12-24 00:00"),
    ],
)
def test_open_hours_close(spec: dict[str, Any], moment: str, closes: str | None) -> None:
    """At the end of the window, or where a blackout begins; never where nothing is said."""
    assert calendar(moment, **spec).closing(utc(moment)) == (closes and utc(closes))


def test_hours_that_leave_nothing() -> None:
    """Windows that lie in blackouts leave nothing open."""
    found = calendar("2026-11-23 04:00", windows=[NIGHTS], blackouts=[{"from": "21:00", "to": "07:00"}])
    assert found.remaining(utc("2026-11-23 04:00")) == ()


def test_a_blackout_that_ends_before_it_starts() -> None:
    """Such a blackout is refused, with what to write."""
    with pytest.raises(SpecError, match="the later one as end"):
        calendar("2026-11-23 04:00", blackouts=[{"start": CHRISTMAS["end"], "end": CHRISTMAS["start"]}])


CLOCKS = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
WINDOWS = st.tuples(CLOCKS, CLOCKS, st.sets(st.sampled_from(["Mon", "Wed", "Sat", "Sun"]), min_size=1)).map(
    lambda parts: {"from": parts[0], "to": parts[1], "days": sorted(parts[2])}
)
MOMENTS = st.integers(0, 2 * 365 * 86400).map(lambda seconds: utc("2026-01-01") + timedelta(seconds=seconds))
WAITS = st.integers(0, 20 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(st.lists(WINDOWS, min_size=1, max_size=3), st.sampled_from(["UTC", BERLIN, NEW_YORK]), MOMENTS, WAITS, WAITS)
def test_open_time_adds_up(windows: list[Any], zone: str, moment: datetime, wait: timedelta, more: timedelta) -> None:
    """Waiting in two parts is waiting at once; the end is open, and never before the moment and its wait."""
    found = calendar(moment, zone, windows=windows)
    once = found.after(moment, wait + more)
    assert found.after(found.after(moment, wait), more) == once
    assert once >= moment + wait + more
    assert found.after(once) == once
    assert found.before(once, wait + more) >= moment
    assert found.after(found.before(once, wait + more), wait + more) == once
