"""What the status of a policy says about its runs to come."""

from dataclasses import replace

from tests.plan.load.objects import GIB, MONDAY, expected, lineup, minutes

from safehold.api.forecast import Forecast
from safehold.plan.load.forecast import forecast_of, foreseen_runs
from safehold.plan.load.order import choose_order
from safehold.plan.load.projection import ExpectedRun, Lineup


def forecast(found: Lineup, policy: str = "policy", *, namespaced: bool = True) -> Forecast | None:
    """Of one policy."""
    outlook = choose_order(found)
    return forecast_of(foreseen_runs(found, outlook).get(policy, []), outlook, found.now, namespaced=namespaced)


def later(run: ExpectedRun, hours: int) -> ExpectedRun:
    """The run as one of a run time that is still to come."""
    assert run.appointment is not None
    time = MONDAY + minutes(60 * hours)
    return replace(run, ready=time, appointment=replace(run.appointment, run=time, moment=time))


def test_the_end_of_the_window_is_told() -> None:
    """Three of ten minutes each one after another, to five minutes; other policies' runs take their time too."""
    mine = [expected(f"vm-{number}", 10, 600) for number in range(3)]
    other = expected("other", 60, 600, since=-1, policy="another")
    found = forecast(lineup(1, other, *mine))
    assert found is not None
    assert (found.runs_left, found.finish_time, found.late_machines) == (3, MONDAY + minutes(90), 0)
    assert (found.read_bytes, found.upload_bytes) == (3 * GIB, 3 * GIB // 2)
    assert found.summary == "3 left, until 23 Nov 23:30 UTC"
    assert forecast(lineup(1, *mine), "third") is None


def test_what_is_spread_counts_as_left() -> None:
    """VMs of the run that has begun whose moments are still to come; the next run does not count yet."""
    coming = replace(expected("later", 10, 600), ready=MONDAY + minutes(60))
    tomorrow = later(expected("tomorrow", 10, 3000), 24)
    found = forecast(lineup(1, expected("now", 10, 600), coming=(coming, tomorrow)))
    assert found is not None
    assert (found.runs_left, found.finish_time) == (2, MONDAY + minutes(70))


def test_before_a_run_the_next_one_is_foretold() -> None:
    """While nothing is active, the end of tonight's is told."""
    coming = tuple(later(expected(f"vm-{number}", 10, 3000), 5) for number in range(2))
    after = later(expected("vm-0-again", 10, 6000), 29)
    found = forecast(lineup(1, coming=(*coming, after)))
    assert found is not None
    assert (found.runs_left, found.finish_time) == (2, MONDAY + minutes(320))


def test_vms_that_are_likely_to_be_late_are_named_with_the_reason() -> None:
    """The latest first, ten at most; a sentence says when the turn is expected, behind whom, and what is missed."""
    runs = [expected(f"vm-{number:02d}", 10, 100, since=number) for number in range(24)]
    now = replace(lineup(1, *runs), now=MONDAY + minutes(24))
    found = forecast(now)
    assert found is not None
    assert len(found.late) == 10
    assert found.late_machines == 24 - 10 + 3
    first = found.late[0]
    assert (first.name, first.misses, first.due_time) == ("vm-23", "Deadline", MONDAY + minutes(100))
    assert "with 23 backups of its namespace before it, and it takes up to 10m 0s; it is due at" in first.message
    assert found.summary.endswith(", 17 late")


def test_a_window_that_closes_is_named() -> None:
    """The backup begins after the hours for it."""
    second, third = (expected(name, 60, 900, closes=30, waited=300) for name in ("second", "third"))
    runs = [expected("first", 60, 900), second, third]
    found = forecast(lineup(1, *runs), namespaced=False)
    assert found is not None
    assert {late.misses for late in found.late} == {"Window"}
    assert found.late[0].name.startswith("shop/")
    assert "(it usually waits 5m 0s)" in found.late[0].message
    assert "the hours for it close at 2026-11-23 22:30 UTC" in found.late[0].message


def test_an_active_run_that_takes_too_long_is_late() -> None:
    """It needs no turn any more."""
    active = replace(expected("slow", 90, 60), ready=MONDAY - minutes(5))
    found = forecast(lineup(1, active=(active,)))
    assert found is not None
    assert found.late[0].message.startswith("it began at 2026-11-23 21:55 UTC and takes up to 1h 30m")


def test_a_forecast_that_hardly_shifts_is_no_news() -> None:
    """Half a minute later it is the same object: no write of the status."""
    runs = [expected("vm", 12, 600)]
    assert forecast(lineup(1, *runs)) == forecast(replace(lineup(1, *runs), now=MONDAY + minutes(0.5)))
