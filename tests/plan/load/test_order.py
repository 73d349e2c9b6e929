"""Which order the waiting runs are in, and what comes of it."""

from collections import Counter
from dataclasses import replace
from itertools import accumulate, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.load.objects import MONDAY, expected, lineup, minutes

from safehold.plan.load.order import Sorting, choose_order, missed
from safehold.plan.load.projection import ExpectedRun, Lineup, Slot, project


def slow(run: ExpectedRun, seconds: float) -> ExpectedRun:
    """The run, if one in four takes so long."""
    return replace(run, estimate=replace(run.estimate, careful_seconds=seconds))


def test_the_order_of_arrival_stays_where_nothing_is_missed() -> None:
    """Nothing is reordered without need, however long some runs are."""
    outlook = choose_order(lineup(1, expected("first", 10, 600), expected("second", 1, 60, since=-1)))
    assert (outlook.order, outlook.missed) == ("Arrival", {})


def test_the_nearest_deadline_goes_first_where_that_saves_one() -> None:
    """An hour's run that is due tomorrow came first; the short one is due in half an hour."""
    patient, urgent = expected("patient", 60, 1440, since=-9), expected("urgent", 5, 30)
    outlook = choose_order(lineup(1, patient, urgent))
    assert (outlook.order, outlook.missed) == ("Deadline", {})
    assert outlook.slots[urgent.key].begins == MONDAY
    assert outlook.slots[patient.key] == Slot(MONDAY + minutes(5), MONDAY + minutes(65))


def test_a_long_run_begins_early_enough() -> None:
    """All are due at the same time, and of two places the long run needs one from the start on."""
    short = [expected(f"short-{number}", 10, 41, since=-9) for number in range(4)]
    long = expected("long", 40, 42)
    outlook = choose_order(lineup(2, *short, long))
    assert (outlook.order, outlook.missed) == ("LatestStart", {})


def test_where_not_all_can_be_in_time_one_is_put_back_for_many() -> None:
    """The long run came first, has to begin first, and would make five others late; alone it is late after them."""
    long = expected("long", 50, 60, since=-9)
    short = [expected(f"short-{number}", 10, 60) for number in range(5)]
    outlook = choose_order(lineup(1, long, *short))
    assert (outlook.order, outlook.missed) == ("MostInTime", {long.key: "Deadline"})
    assert outlook.slots[long.key].begins == MONDAY + minutes(50)


def test_what_was_put_back_long_enough_goes_before_what_is_due_later() -> None:
    """Three intervals after it was due: so long an hourly run that takes an hour makes room for shorter ones."""
    takes_all = expected("takes-all", 60, -119, since=-179)
    fresh = [expected(f"fresh-{number}", 30, 60) for number in range(3)]
    put_back = Sorting("MostInTime", frozenset({takes_all.key}))
    assert put_back.place(takes_all) > put_back.place(fresh[0])
    longer = expected("takes-all", 60, -120.5, since=-180.5)
    assert put_back.place(longer) < put_back.place(fresh[0])


def test_a_window_that_closes_is_a_deadline_for_the_start() -> None:
    """The run is due tomorrow, but has to begin within ten minutes."""
    patient, closing = expected("patient", 60, 1440, since=-9), expected("closing", 30, 1440, closes=10)
    assert choose_order(lineup(1, patient, closing)).missed == {}
    assert choose_order(lineup(1, expected("other", 60, 20), closing)).missed.keys() == {("shop", "other")}


@pytest.mark.parametrize(
    ("begins", "takes", "found"),
    [(0, 30, None), (0, 61, "Deadline"), (31, 30, "Deadline"), (9, 30, None), (10, 30, "Window")],
)
def test_what_is_missed(begins: int, takes: int, found: str | None) -> None:
    """A run that is due within the hour and may begin within ten minutes, by its slot and what it takes."""
    closes = 10 if found != "Deadline" else None
    run = expected("db", takes, 60, closes=closes)
    slot = Slot(MONDAY + minutes(begins), MONDAY + minutes(begins + takes))
    assert missed(run, slot) == found


def test_a_slow_run_counts_as_late_though_it_usually_is_not() -> None:
    """It usually takes half an hour, but one in four takes longer than there is time."""
    run = slow(expected("db", 30, 60), 3700)
    assert missed(run, Slot(MONDAY, MONDAY + minutes(30))) == "Deadline"


def test_an_active_run_is_expected_to_end() -> None:
    """As usual; if it is over that, as its slow ones did; if over that too, in a minute."""
    for began, ends in ((-10, 20), (-35, 10), (-50, 1)):
        run = replace(slow(expected("db", 30, 600), 45 * 60), ready=MONDAY + minutes(began))
        slots = project(lineup(1, active=(run,)), lambda _, claim: claim.since)
        assert slots[run.key].ends == MONDAY + minutes(ends)


def test_a_tenants_deadline_takes_nobody_elses_turn() -> None:
    """Of two namespaces with ten runs each, in whatever hurry one of them is, each gets every second place."""
    calm = [expected(f"calm-{number}", 10, None, namespace="calm", since=-99) for number in range(10)]
    hasty = [expected(f"hasty-{number}", 10, 15, namespace="hasty") for number in range(10)]
    slots = choose_order(lineup(1, *calm, *hasty)).slots
    first = sorted(slots, key=lambda key: slots[key].begins)[:10]
    assert Counter(namespace for namespace, _ in first) == {"calm": 5, "hasty": 5}


runs = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 90),
        st.integers(1, 400),
        st.integers(-60, 120),
        st.sets(st.sampled_from(["target", "node"])),
    ),
    min_size=1,
    max_size=25,
)


def drawn(found: list[tuple[str, int, int, int, set[str]]], limit: int, limits: dict[str, int]) -> Lineup:
    """Runs that wait or come."""
    every = [
        expected(f"vm-{number}", takes, since + due, namespace=namespace, since=since, pools=frozenset(pools))
        for number, (namespace, takes, due, since, pools) in enumerate(found)
    ]
    waiting = [run for run in every if run.ready <= MONDAY]
    return lineup(limit, *waiting, limits=limits, coming=tuple(run for run in every if run.ready > MONDAY))


def _covers(one: Slot, other: Slot) -> bool:
    """Whether the first is active when the other begins."""
    return one.begins <= other.begins < one.ends


limits_drawn = st.dictionaries(st.sampled_from(["target", "node"]), st.integers(1, 3))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(runs, st.integers(1, 4), limits_drawn)
def test_the_plan_keeps_all_limits_and_loses_nobody(
    found: list[tuple[str, int, int, int, set[str]]], limit: int, limits: dict[str, int]
) -> None:
    """At every moment; each run has one slot, that begins once it has come."""
    now = drawn(found, limit, limits)
    outlook = choose_order(now)
    every: list[ExpectedRun] = [*now.waiting, *now.coming]
    assert outlook.slots.keys() == {run.key for run in every}
    for run in every:
        slot = outlook.slots[run.key]
        assert slot.begins >= run.ready
        assert slot.ends - slot.begins == minutes(run.estimate.seconds / 60)
        beside = [other for other in every if _covers(outlook.slots[other.key], slot)]
        assert len(beside) <= limit
        used = Counter(pool for other in beside for pool in other.claim.pools)
        assert all(used[pool] <= places for pool, places in limits.items())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 240)), min_size=1, max_size=6))
def test_with_one_place_as_few_as_possible_are_late(found: list[tuple[int, int]]) -> None:
    """Of all orders of what waits, none has fewer late runs than the plan."""
    waiting = [expected(f"vm-{number}", takes, due, since=-999) for number, (takes, due) in enumerate(found)]
    assert len(choose_order(lineup(1, *waiting)).missed) == min(map(_late, permutations(found)))


def _late(found: tuple[tuple[int, int], ...]) -> int:
    ends = accumulate(takes for takes, _ in found)
    return sum(end > due for end, (_, due) in zip(ends, found, strict=True))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(runs, st.integers(1, 4), limits_drawn)
def test_the_plan_misses_no_more_than_the_order_of_arrival(
    found: list[tuple[str, int, int, int, set[str]]], limit: int, limits: dict[str, int]
) -> None:
    """With what is known and expected at this moment; and it is the same plan whenever it is asked for."""
    now = drawn(found, limit, limits)
    outlook = choose_order(now)
    slots = project(now, lambda _, claim: claim.since)
    by_arrival = [run for run in (*now.waiting, *now.coming) if missed(run, slots[run.key])]
    assert len(outlook.missed) <= len(by_arrival)
    assert choose_order(now) == outlook
