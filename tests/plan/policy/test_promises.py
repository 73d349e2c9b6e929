"""What a schedule promises by itself: the last run of which a VM must have a restore point."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.policy.test_decision import policy

from safehold.plan.policy.promises import ALLOWANCE, Promises
from safehold.plan.policy.timetable import Timetable

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def promised(now: datetime, *, uid: str = "vm", since: datetime = LONG_AGO, **spec: Any) -> datetime | None:
    """The run of which a VM must have a point by `now`."""
    timetable = Timetable.parse(policy(**spec).spec, now)
    promise = Promises.until(timetable, now, since).of(uid)
    return promise.run if promise else None


@pytest.mark.parametrize(
    ("now", "run"),
    [(NOON, NOON - HOUR), (NOON + timedelta(minutes=59), NOON - HOUR), (NOON + HOUR, NOON)],
)
def test_without_a_deadline_a_run_is_owed_once_the_next_one_has_begun(now: datetime, run: datetime) -> None:
    """Until then a backup that is late may still start."""
    assert promised(now) == run


@pytest.mark.parametrize(
    ("now", "run"),
    [
        (NOON + timedelta(minutes=34), NOON - HOUR),
        (NOON + 20 * MINUTE + ALLOWANCE, NOON),
        (NOON + timedelta(minutes=59), NOON),
    ],
)
def test_with_a_deadline_a_run_is_owed_once_that_is_over(now: datetime, run: datetime) -> None:
    """The deadline and the time that a capture takes."""
    assert promised(now, startingDeadline="20m") == run


def test_a_run_waits_for_its_window() -> None:
    """A run of noon that may start at 22:00 is not owed before the next one has started."""
    spec: dict[str, Any] = {"schedule": "0 12 * * *", "windows": [{"from": "22:00", "to": "06:00"}]}
    day = timedelta(days=1)
    assert promised(NOON + timedelta(hours=9), **spec) == NOON - 2 * day
    assert promised(NOON + timedelta(hours=10), **spec) == NOON - day


def test_the_most_frequent_of_several_rhythms_counts() -> None:
    """A point of the weekly tier does not make the hourly one's good."""
    tiers = [{"name": "weekly", "schedule": "0 1 * * SUN"}, {"name": "hourly", "schedule": "0 * * * *"}]
    assert promised(NOON, schedule=None, schedules=tiers) == NOON - HOUR


def test_runs_before_the_schedule_counted_are_owed_to_nobody() -> None:
    """An edited schedule, and one that was resumed, counts from then on."""
    assert promised(NOON, since=NOON - 30 * MINUTE) is None
    assert promised(NOON + HOUR, since=NOON - 30 * MINUTE) == NOON


@given(
    uid=st.uuids(version=4),
    minutes=st.integers(0, 365 * 24 * 60),
    spread=st.sampled_from(["20m", "1h"]),
    deadline=st.sampled_from([None, "30m", "3h"]),
)
def test_a_promise_is_a_run_whose_time_is_over(uid: object, minutes: int, spread: str, deadline: str | None) -> None:
    """Whatever the VM's part of the spread: its moment has passed, and every later run's time is not over yet."""
    now = LONG_AGO + timedelta(days=1, minutes=minutes)
    spec: dict[str, Any] = {"schedule": "0 */2 * * *", "spread": spread, "startingDeadline": deadline}
    timetable = Timetable.parse(policy(**spec).spec, now)
    promise = Promises.until(timetable, now, LONG_AGO).of(str(uid))
    assert promise is not None
    assert promise.run <= promise.moment <= now
    following = promise.moment + timedelta(hours=2)
    over = following + timetable.deadline + ALLOWANCE if timetable.deadline else following + timedelta(hours=2)
    assert now < over
