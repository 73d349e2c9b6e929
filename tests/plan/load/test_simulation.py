"""Days of a fleet, as Safehold plans them beside plain cron."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.load.objects import MONDAY, past

from safehold.api.timing import Timing
from safehold.plan.load.arrivals import PlayedPolicy, arrivals
from safehold.plan.load.figures import Figures, figures_of
from safehold.plan.load.fleets import Fleet, GeneratedFleet, RecordedFleet
from safehold.plan.load.simulation import Limits, Played, play

BEGIN = datetime(2026, 11, 23, tzinfo=MONDAY.tzinfo)
EVENING = BEGIN + timedelta(hours=21, minutes=45)
DAY = timedelta(days=1)


def policies_of(fleet: Fleet, **timing: Any) -> list[PlayedPolicy]:
    """One policy of all VMs."""
    spec = Timing.model_validate({"schedule": "0 22 * * *", **timing})
    return [PlayedPolicy(name="gold", timing=spec, pool="target", vms=tuple(fleet.machines()))]


def both(fleet: Fleet, limits: Limits, days: int = 3, **timing: Any) -> tuple[Figures, Figures]:
    """Figures of Safehold and of plain cron."""
    policies = policies_of(fleet, **timing)
    safehold, cron = (
        figures_of(play(policies, fleet, BEGIN, BEGIN + days * DAY, limits, planned=planned))
        for planned in (True, False)
    )
    return safehold, cron


def active_at_most(played: Played) -> tuple[int, int]:
    """Runs that were active at once, and runs of one VM that were."""
    most = of_one = 0
    for run in played.runs:
        beside = [other for other in played.runs if other.begins <= run.begins < other.ends]
        most = max(most, len(beside))
        of_one = max(of_one, *Counter(other.arrival.vm for other in beside).values())
    return most, of_one


fleets = st.builds(GeneratedFleet, vms=st.integers(1, 30), namespaces=st.integers(1, 4), seed=st.integers(0, 10_000))
timings = st.sampled_from(
    [
        {"schedule": "0 22 * * *"},
        {"schedule": "0 22 * * *", "spread": "3h"},
        {"schedule": "0 */6 * * *", "spread": "1h", "windows": [{"from": "20:00", "to": "07:00"}]},
        {"schedule": "@hourly", "spread": "30m"},
    ]
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(fleets, timings, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_limits_hold_and_nothing_is_lost(
    fleet: GeneratedFleet, timing: dict[str, Any], limit: int, per_target: int, planned: bool
) -> None:
    """Every run that came was played to its end or left out, once; and the same seed plays the same days."""
    policies, limits = policies_of(fleet, **timing), Limits(all=limit, targets={"target": per_target})
    played = play(policies, fleet, BEGIN, BEGIN + DAY, limits, planned=planned)
    most, of_one = active_at_most(played) if played.runs else (0, 1)
    assert most <= min(limit, per_target)
    assert of_one == 1
    came = arrivals(policies, BEGIN, BEGIN + DAY, spread=planned)
    assert len(played.runs) + played.left_out == len(came)
    assert len({(run.arrival.vm, run.arrival.appointment.run) for run in played.runs}) == len(played.runs)
    assert play(policies, fleet, BEGIN, BEGIN + DAY, limits, planned=planned) == played


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(1, 240), st.sampled_from(["", "3,", "0,", "23,"])), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_no_more_deadlines_are_missed_than_by_cron_where_costs_are_known(
    guests: list[tuple[int, str]], limit: int
) -> None:
    """One tenant, all at once, whatever each takes and has time for: an hour, two, five or a day."""
    names = {("shop", f"vm-{number:02d}"): guest for number, guest in enumerate(guests)}
    fleet = RecordedFleet.of((past(minutes * 60.0, 1, vm=vm) for vm, (minutes, _) in names.items()), seed=1)
    policies = [
        PlayedPolicy(
            name=f"policy-{hours}",
            timing=Timing.model_validate({"schedule": f"0 {hours}22 * * *"}),
            pool="target",
            vms=tuple(vm for vm, (_, chosen) in names.items() if chosen == hours),
        )
        for hours in ("", "3,", "0,", "23,")
    ]
    safehold, cron = (
        figures_of(play(policies, fleet, EVENING, EVENING + DAY / 48, Limits(all=limit), planned=planned))
        for planned in (True, False)
    )
    assert safehold.runs == cron.runs == len(guests)
    assert safehold.missed_deadlines <= cron.missed_deadlines


@pytest.mark.parametrize("seed", range(4))
def test_on_generated_fleets_the_plan_misses_no_more_than_cron(seed: int) -> None:
    """A night whose window is hardly long enough, five tenants, spread over an hour."""
    fleet = GeneratedFleet(vms=60, namespaces=5, seed=seed)
    window = [{"from": "22:00", "to": "03:00"}]
    safehold, cron = both(fleet, Limits(all=3), schedule="0 22 * * *", spread="1h", windows=window)
    assert safehold.runs == cron.runs == 180
    assert safehold.missed_deadlines <= cron.missed_deadlines
    assert safehold.missed_windows <= cron.missed_windows


@pytest.mark.parametrize("namespaces", [1, 5])
def test_in_lasting_overload_fewer_are_lost_than_by_cron(namespaces: int) -> None:
    """Of five fleets whose runs take more time than there is: over two days a third less is late or left out."""
    lost = Counter[str]()
    for seed in range(5):
        fleet = GeneratedFleet(vms=40, namespaces=namespaces, seed=seed)
        safehold, cron = both(fleet, Limits(all=1), days=2, schedule="0 */2 * * *")
        lost["safehold"] += safehold.missed_deadlines + safehold.left_out
        lost["cron"] += cron.missed_deadlines + cron.left_out
    assert 0 < lost["safehold"] < lost["cron"] * 2 / 3


def test_in_lasting_overload_a_long_run_still_gets_its_turn() -> None:
    """The others alone take more than there is, and it would make eight of them late: it is put back, not for ever."""
    quick = [past(300, vm=("shop", f"a-{number:02d}")) for number in range(14)]
    fleet = RecordedFleet.of((*quick, past(2400, vm=("shop", "long"))), seed=1)
    policies = policies_of(fleet, schedule="@hourly")
    played = play(policies, fleet, BEGIN, BEGIN + 2 * DAY, Limits(all=1), planned=True)
    begun = sorted(run.begins for run in played.runs if run.arrival.vm == ("shop", "long"))
    pauses = [later - before for before, later in pairwise([BEGIN, *begun, BEGIN + 2 * DAY])]
    assert max(pauses) < timedelta(hours=6)


def test_long_patient_runs_do_not_make_urgent_ones_late() -> None:
    """Ten VMs take three hours and are due in a day; ten take a minute and are due in an hour."""
    slow = [past(3 * 3600, day, vm=("shop", f"a-{number}")) for day in range(1, 8) for number in range(10)]
    quick = [past(60, day, vm=("shop", f"b-{number}")) for day in range(1, 8) for number in range(10)]
    fleet = RecordedFleet.of((*slow, *quick), seed=1)
    daily, hourly = (Timing.model_validate({"schedule": line}) for line in ("0 22 * * *", "0 22,23 * * *"))
    policies = [
        PlayedPolicy(name="daily", timing=daily, pool="t", vms=tuple(sorted({run.vm for run in slow}))),
        PlayedPolicy(name="hourly", timing=hourly, pool="t", vms=tuple(sorted({run.vm for run in quick}))),
    ]
    safehold, cron = (
        figures_of(play(policies, fleet, BEGIN, BEGIN + DAY, Limits(all=2), planned=planned))
        for planned in (True, False)
    )
    assert (cron.missed_deadlines, cron.left_out) == (10, 10)
    assert safehold.missed_deadlines < cron.missed_deadlines


def test_a_small_tenant_does_not_wait_for_a_large_one() -> None:
    """Half of the VMs are one tenant's; cron's order of names has the last tenant wait for all of them."""
    fleet = GeneratedFleet(vms=40, namespaces=5, seed=3)
    policies = policies_of(fleet)
    last = [vm for vm in fleet.machines() if vm[0] == "tenant-05"]

    def ready(planned: bool) -> datetime:
        played = play(policies, fleet, BEGIN, BEGIN + DAY, Limits(all=2), planned=planned)
        return max(run.ends for run in played.runs if run.arrival.vm in last)

    assert ready(planned=True) < ready(planned=False)


def test_spread_lowers_the_peak() -> None:
    """With places enough, what counts is how many runs are due at once."""
    fleet = GeneratedFleet(vms=40, namespaces=2, seed=5)
    safehold, cron = both(fleet, Limits(all=1000), days=1, spread="8h")
    assert cron.peak_runs == 40
    assert safehold.peak_runs < 20
    assert safehold.peak_bytes_per_second < cron.peak_bytes_per_second


def test_a_recorded_fleet_costs_what_it_cost() -> None:
    """By the day of the week; the same run costs the same whoever plays it."""
    runs = tuple(past(3600.0 if day % 7 == 0 else 60.0, day) for day in range(21))
    fleet = RecordedFleet.of(runs, seed=1)
    assert fleet.cost(("shop", "db"), MONDAY + 7 * DAY).seconds == 3600
    assert fleet.cost(("shop", "db"), MONDAY + 8 * DAY).seconds == 60
