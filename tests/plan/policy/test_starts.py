"""Which VMs start when: examples."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api.timing import Timing
from safehold.plan.policy.hours import Span
from safehold.plan.policy.starts import Look, Progress, look
from safehold.plan.policy.timetable import Timetable

NIGHTS = {"from": "22:00", "to": "06:00"}
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Guest:
    """A VM."""

    uid: str
    created: datetime | None = None


GUESTS = tuple(Guest(f"uid-{number}") for number in range(40))


def utc(text: str) -> datetime:
    """`2026-11-22 14:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(now: datetime, **spec: Any) -> Timetable:
    """A timetable around a moment."""
    return Timetable.parse(Timing.model_validate({"schedule": "@hourly", **spec}), now)


def looked(now: str, since: str, guests: tuple[Guest, ...] = GUESTS, **spec: Any) -> Look:
    """A look at `now`, the last one having been at `since`."""
    return look(table(utc(now), **spec), guests, Progress(utc(since)), utc(now))


def test_without_a_spread_all_start_at_once() -> None:
    """At the run time every VM is due, once."""
    assert looked("2026-11-22 13:59", "2026-11-22 13:00").due == ()
    found = looked("2026-11-22 14:00", "2026-11-22 13:00")
    assert {start.uid for start in found.due} == {guest.uid for guest in GUESTS}
    assert {start.run for start in found.due} == {utc("2026-11-22 14:00")}
    assert look(table(utc("2026-11-22 14:00")), GUESTS, found.progress, utc("2026-11-22 14:00")).due == ()
    assert found.next == utc("2026-11-22 15:00")


def test_with_a_spread_each_starts_at_its_moment() -> None:
    """Halfway about half have started; the next look is when the next one is due."""
    half = looked("2026-11-22 14:15", "2026-11-22 14:14:30", spread="30m")
    minutes = [looked(f"2026-11-22 14:{end:02}", f"2026-11-22 14:{end - 1:02}", spread="30m") for end in range(1, 31)]
    started = [len(found.due) for found in minutes]
    assert 10 < sum(started[:15]) < 30
    assert sum(started) == len(GUESTS)
    assert half.next is not None
    assert utc("2026-11-22 14:15") < half.next < utc("2026-11-22 14:20")


def test_a_run_outside_of_the_windows_starts_when_they_open() -> None:
    """However many runs were due since the last window, each VM starts once, in the last of them, and spread."""
    assert looked("2026-11-22 21:59", "2026-11-22 06:00", windows=[NIGHTS], spread="30m").due == ()
    opening = looked("2026-11-22 22:29:59", "2026-11-22 22:29", windows=[NIGHTS], spread="30m")
    assert len(opening.due) < 5
    assert {start.run for start in opening.due} <= {utc("2026-11-22 22:00")}


def test_missed_starts_are_made_up_for_once_and_spread_again() -> None:
    """After five hours away nobody starts twice, not all start at once, and the latest run makes up for the others."""
    now, progress, started = utc("2026-11-22 19:10"), Progress(utc("2026-11-22 14:05")), []
    found = look(table(now, spread="30m"), GUESTS, progress, now)
    assert found.progress.stretches == (Span(utc("2026-11-22 14:05"), now),)
    assert len(found.due) < 5
    while now < utc("2026-11-22 20:00"):
        started += [(start.uid, start.run) for start in found.due]
        progress, now = found.progress, now + timedelta(seconds=30)
        found = look(table(now, spread="30m"), GUESTS, progress, now)
    assert sorted(uid for uid, _ in started) == sorted(guest.uid for guest in GUESTS)
    assert {run for _, run in started} <= {utc("2026-11-22 18:00"), utc("2026-11-22 19:00")}
    assert progress.stretches == ()


def test_missed_starts_wait_for_the_next_window() -> None:
    """Away from within a window until it is closed: made up for in the next one."""
    found = looked("2026-11-22 09:00", "2026-11-22 05:50", windows=[NIGHTS], schedule="55 5 * * *")
    assert found.due == ()
    assert found.next == utc("2026-11-22 22:00")
    later = utc("2026-11-22 22:00")
    spec = {"windows": [NIGHTS], "schedule": "55 5 * * *"}
    assert len(look(table(later, **spec), GUESTS, found.progress, later).due) == len(GUESTS)


@pytest.mark.parametrize(("now", "missed"), [("14:20", False), ("14:31", False), ("14:35", True)])
def test_a_start_that_is_too_late_is_missed(now: str, missed: bool) -> None:
    """Within the deadline it is made up for, after it (and a minute) it is told; either way it is dealt with."""
    found = looked(f"2026-11-22 {now}", "2026-11-22 13:59", startingDeadline="30m")
    assert (len(found.missed), len(found.due)) == ((len(GUESTS), 0) if missed else (0, len(GUESTS)))
    later = utc(f"2026-11-22 {now}") + timedelta(minutes=1)
    again = look(table(later, startingDeadline="30m"), GUESTS, found.progress, later)
    assert (again.missed, again.due) == ((), ())


def test_a_new_vm_waits_for_its_next_moment() -> None:
    """A VM that is younger than its moment of a run is not part of that run."""
    young = (Guest("uid-1", created=utc("2026-11-22 14:40")),)
    assert looked("2026-11-22 14:41", "2026-11-22 13:00", young).due == ()
    assert looked("2026-11-22 15:00", "2026-11-22 13:00", young).due != ()


def test_a_delayed_vm_starts_late_and_once() -> None:
    """At its moment it is held back; when the delay is over it starts in the latest run; the others go on."""
    now, until = utc("2026-11-22 14:00"), utc("2026-11-22 16:20")
    found = look(table(now), GUESTS[:2], Progress(now - HOUR), now, not_before={"uid-0": until})
    assert [start.uid for start in found.due] == ["uid-1"]
    assert [(start.uid, start.moment) for start in found.held_back] == [("uid-0", until)]
    found = look(table(until), GUESTS[:2], Progress(utc("2026-11-22 16:00")), until, not_before={"uid-0": until})
    assert [(start.uid, start.run) for start in found.due] == [("uid-0", utc("2026-11-22 16:00"))]


def test_of_two_tiers_the_first_has_the_vm() -> None:
    """At midnight on a Sunday the weekly tier makes the backup, at any other hour the hourly one."""
    tiers = [{"name": "weekly", "schedule": "@weekly"}, {"name": "hourly", "schedule": "@hourly"}]
    for hour, name in (("00:00", "weekly"), ("01:00", "hourly")):
        now = utc(f"2026-11-22 {hour}")
        found = look(table(now, schedule=None, schedules=tiers), GUESTS, Progress(now - HOUR / 2), now)
        assert [start.tier for start in found.due] == [name] * len(GUESTS)


def test_a_run_that_is_asked_for_waits_for_nothing() -> None:
    """Windows, spread and delays do not hold it up; it happens once."""
    now = utc("2026-11-22 12:00:01")
    timetable = table(now, windows=[NIGHTS], spread="30m")
    found = look(timetable, GUESTS, Progress(now - HOUR), now, at_once=now, not_before={"uid-1": now + HOUR})
    assert {start.run for start in found.due} == {now}
    assert len(found.due) == len(GUESTS)
    ahead = look(timetable, GUESTS, Progress(now - HOUR), now - timedelta(seconds=1), at_once=now)
    assert (ahead.due, ahead.next) == ((), now)
