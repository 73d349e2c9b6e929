"""Years of looks by a controller that is restarted at random: no start is lost, and none happens twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.policy.test_starts import Guest

from safehold.api.timing import Timing
from safehold.plan.policy.starts import GRACE, Progress, Start, look
from safehold.plan.policy.timetable import Timetable

BEGIN = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
GUESTS = tuple(Guest(f"uid-{number}") for number in range(4))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"]
NIGHTS = {"from": "22:00", "to": "06:00"}
SPECS: list[dict[str, Any]] = [
    {"schedule": "30 2 * * *"},
    {"schedule": "30 2 * * *", "spread": "4h"},
    {"schedule": "0 */6 * * *", "spread": "1h", "windows": [NIGHTS]},
    {"schedule": "0 12 * * *", "spread": "10h", "windows": [NIGHTS], "blackouts": [{"from": "23:00", "to": "00:30"}]},
    {"schedule": "@weekly", "spread": "12h", "blackouts": [{"days": ["Sun"], "from": "02:00", "to": "04:00"}]},
]


@dataclass
class World:
    """A policy, its VMs, and when each of them was started in which run."""

    spec: dict[str, Any]
    until: datetime
    random: Random
    outages: bool

    def live(self) -> tuple[list[tuple[Start, datetime]], list[tuple[datetime, datetime]]]:
        """All starts with the time of each, and all outages."""
        spec, now, progress = Timing.model_validate(self.spec), BEGIN, Progress(BEGIN)
        started: list[tuple[Start, datetime]] = []
        away: list[tuple[datetime, datetime]] = []
        while now < self.until:
            found = look(Timetable.parse(spec, now), GUESTS, progress, now)
            if self.random.random() < 0.1:
                # Killed before the status was written: the next look repeats this one, with the same names.
                again = look(Timetable.parse(spec, now), GUESTS, progress, now)
                assert again == found
            started += [(start, now) for start in found.due]
            progress, before = found.progress, now
            assert found.next is not None
            assert found.next > now, "a look never asks for itself again"
            now = found.next
            if self.outages and self.random.random() < 0.05:
                now += timedelta(seconds=self.random.randrange(3 * 86400))
                away.append((before, now))
        return started, away


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SPECS), st.sampled_from(ZONES), st.randoms(use_true_random=True))
def test_a_year_without_outages(spec: dict[str, Any], zone: str, random: Random) -> None:
    """Each VM starts at its moment of every run, or of the last run before a window opens, and never twice in one."""
    zoned = {**spec, "timeZone": zone}
    world = World(zoned, BEGIN + timedelta(days=365), random, outages=False)
    started, _ = world.live()
    assert len({(start.uid, start.run) for start, _ in started}) == len(started)
    assert all(start.moment == at for start, at in started), "nothing is late"
    timetable = Timetable.parse(Timing.model_validate(zoned), BEGIN + timedelta(days=182))
    (tier,) = timetable.tiers
    for guest in GUESTS:
        expected, run = set(), tier.schedule.next_after(BEGIN - timedelta(days=8))
        while run < world.until:
            moment = timetable.calendar.after(run, tier.offset(guest.uid))
            if BEGIN < moment < world.until:
                expected.add(moment)
            run = tier.schedule.next_after(run)
        assert {at for start, at in started if start.uid == guest.uid} == expected


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SPECS), st.sampled_from(ZONES), st.randoms(use_true_random=True))
def test_years_with_outages(spec: dict[str, Any], zone: str, random: Random) -> None:
    """No VM starts twice in a run; what an outage missed is made up for by one start, in allowed hours."""
    world = World({**spec, "timeZone": zone}, BEGIN + timedelta(days=730), random, outages=True)
    started, away = world.live()
    assert len({(start.uid, start.run) for start, _ in started}) == len(started)
    timing = Timing.model_validate(world.spec)
    for left, back in away:
        timetable = Timetable.parse(timing, back)
        (tier,) = timetable.tiers
        for guest in GUESTS:
            runs = [run for run in tier.last_runs(timetable.calendar, back) if run <= back]
            moments = [timetable.calendar.after(run, tier.offset(guest.uid)) for run in runs]
            if not any(left < moment <= back - GRACE for moment in moments):
                continue
            mine = [at for start, at in started if start.uid == guest.uid and at >= back]
            deadline = timetable.calendar.after(back, tier.spread)
            again = [end for begin, end in away if begin <= deadline and end > back]
            assert again or deadline >= world.until or (mine and mine[0] <= deadline), (guest, left, back)
    for start, at in started:
        calendar = Timetable.parse(timing, at).calendar
        assert calendar.after(at - GRACE) <= at, f"{start} is outside of the allowed hours"
