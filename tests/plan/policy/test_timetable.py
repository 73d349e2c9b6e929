"""What a spec says about time, checked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.timing import Timing
from safehold.errors import SpecError
from safehold.plan.policy.timetable import Timetable, schedule_digest
from safehold.reasons import Reason

NOW = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)
NIGHTS = {"from": "22:00", "to": "06:00"}


def timetable(**spec: Any) -> Timetable:
    """Checked, on 2026-11-22."""
    return Timetable.parse(Timing.model_validate(spec), NOW)


def test_one_schedule_is_one_tier() -> None:
    """The short form is one tier without a name."""
    (tier,) = timetable(schedule="@hourly", spread="30m").tiers
    assert (tier.name, tier.schedule.cron, tier.spread) == ("", "0 * * * *", timedelta(minutes=30))


def test_tiers_have_the_policys_spread_or_their_own() -> None:
    """They keep the order in which they are listed."""
    found = timetable(
        spread="20m",
        schedules=[
            {"name": "weekly", "schedule": "@weekly", "spread": "5h"},
            {"name": "hourly", "schedule": "@hourly"},
        ],
    )
    assert [(tier.name, tier.spread) for tier in found.tiers] == [
        ("weekly", timedelta(hours=5)),
        ("hourly", timedelta(minutes=20)),
    ]


@pytest.mark.parametrize(
    ("spec", "reason", "sentence"),
    [
        ({"schedule": "61 * * * *"}, Reason.INVALID_SCHEDULE, "Bad minute"),
        ({"schedule": "@daily", "timeZone": "Mars/Olympus"}, Reason.UNKNOWN_TIME_ZONE, "Europe/Berlin"),
        ({"schedule": "*/10 * * * *", "spread": "10m"}, Reason.SPREAD_TOO_LONG, "less than 0:10:00"),
        (
            {"schedules": [{"name": "often", "schedule": "@hourly"}], "spread": "2h"},
            Reason.SPREAD_TOO_LONG,
            "spread of often",
        ),
        (
            {"schedule": "@daily", "windows": [NIGHTS], "blackouts": [{"from": "20:00", "to": "08:00"}]},
            Reason.NO_ALLOWED_TIME,
            "widen a window",
        ),
        (
            {"schedule": "0 12 * * *", "windows": [NIGHTS], "startingDeadline": "1h"},
            Reason.NO_ALLOWED_TIME,
            "write a schedule that lies in spec.windows",
        ),
    ],
)
def test_what_cannot_be_carried_out(spec: dict[str, Any], reason: Reason, sentence: str) -> None:
    """Each has its reason, and a sentence that says what to write."""
    with pytest.raises(SpecError, match=sentence) as refused:
        timetable(**spec)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "spec",
    [
        {"schedule": "0 12 * * *", "windows": [NIGHTS]},
        {"schedule": "0 12 * * *", "windows": [NIGHTS], "startingDeadline": "10h"},
        {"schedule": "0 * * * *", "windows": [NIGHTS], "startingDeadline": "1m"},
        {"schedule": "0 22 * * *", "windows": [NIGHTS], "startingDeadline": "1m"},
        {"schedule": "0 0 29 2 *", "windows": [NIGHTS], "startingDeadline": "1m"},
        {"schedule": "*/10 * * * *", "spread": "9m"},
    ],
)
def test_what_can_be(spec: dict[str, Any]) -> None:
    """A run may wait for its window as long as the deadline allows, or for ever without one."""
    assert timetable(**spec).tiers


@pytest.mark.parametrize("schedule", ["@hourly", "0 12 * * *", "0 22 * * *"])
def test_the_next_run_is_when_it_may_start(schedule: str) -> None:
    """A run outside of the windows is announced for the opening, also one whose time has passed."""
    found = timetable(schedule=schedule, windows=[NIGHTS])
    assert found.next_run(found.tiers[0], NOW) == NOW.replace(hour=22, minute=0)


@pytest.mark.parametrize("uids", [[f"uid-{number}" for number in range(4000)]])
def test_the_spread_is_even(uids: list[str]) -> None:
    """Of 4,000 VMs about as many start in each of ten parts of the spread."""
    (tier,) = timetable(schedule="@daily", spread="2h").tiers
    parts = [0] * 10
    for uid in uids:
        parts[tier.offset(uid) // timedelta(minutes=12)] += 1
    # Each part expects 400 with a standard deviation of 19.
    assert all(300 < count < 500 for count in parts), parts


@given(st.text(max_size=40), st.integers(1, 23 * 3600 - 1))
def test_an_offset_is_within_the_spread(uid: str, seconds: int) -> None:
    """It is in whole seconds, always the same, and ends before the spread does."""
    (tier,) = timetable(schedule="@daily", spread=f"{seconds}s").tiers
    offset = tier.offset(uid)
    assert timedelta() <= offset < timedelta(seconds=seconds)
    assert offset.microseconds == 0
    assert offset == tier.offset(uid)


def test_how_long_a_tiers_points_stay_is_no_part_of_its_schedule() -> None:
    """An edit of its retention starts nothing, and skips nothing that is due."""
    tier = {"name": "weekly", "schedule": "@weekly"}
    before, after = (
        Timing.model_validate({"schedules": [{**tier, **more}]}) for more in ({}, {"retention": {"keepWeekly": 4}})
    )
    assert schedule_digest(before) == schedule_digest(after)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"suspend": True}, True),
        ({"circuitBreaker": {"failures": 5}}, True),
        ({"retry": {"attempts": 1}}, True),
        ({"schedule": "@daily"}, False),
        ({"spread": "5m"}, False),
        ({"windows": [NIGHTS]}, False),
        ({"timeZone": "Europe/Berlin"}, False),
    ],
)
def test_what_changes_a_schedule(change: dict[str, Any], same: bool) -> None:
    """Only what moves starts makes another schedule of it."""
    before = Timing.model_validate({"schedule": "@hourly"})
    after = Timing.model_validate({"schedule": "@hourly", **change})
    assert (schedule_digest(before) == schedule_digest(after)) is same
