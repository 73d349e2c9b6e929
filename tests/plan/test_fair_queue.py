"""Whose run begins next: the limits hold, namespaces take turns, and nobody waits for ever."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.plan.fair_queue import Claim, FairQueue, Key

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def claim(namespace: str, minute: int = 0, *pools: str) -> Claim:
    """A run of a namespace, created a few minutes after the first one."""
    return Claim(namespace=namespace, since=START + timedelta(minutes=minute), pools=frozenset(pools))


def queue_of(limit: int, *waiting: tuple[str, int], **limits: int) -> FairQueue:
    """Runs that wait, each by namespace and minute; its name is the minute."""
    queue = FairQueue(limit, dict(limits))
    for namespace, minute in waiting:
        queue.wait((namespace, str(minute)), claim(namespace, minute))
    return queue


def begin_next(queue: FairQueue) -> Key:
    """Begin the run whose turn it is."""
    key = queue.next_up()[0]
    queue.begin(key, queue.waiting[key])
    return key


def test_a_small_namespace_does_not_wait_for_a_large_one() -> None:
    """Of 1,000 runs and 3, the 3 are among the first six, though they came last."""
    queue = queue_of(1, *(("large", minute) for minute in range(1000)), *(("small", 2000 + n) for n in range(3)))
    begun = []
    for _ in range(6):
        key = begin_next(queue)
        begun.append(key[0])
        queue.leave(key)
    assert Counter(begun) == {"large": 3, "small": 3}


def test_the_namespace_with_the_fewest_active_runs_goes_first() -> None:
    """Long runs are no way to more than one's share: what counts is what is active."""
    queue = queue_of(4, *(("long", minute) for minute in range(9)))
    for _ in range(3):
        begin_next(queue)
    for minute in range(3):
        queue.wait(("short", str(minute)), claim("short", minute))
    for _ in range(3):
        key = begin_next(queue)
        assert key[0] == "short"
        queue.leave(key)


def test_nobody_saves_turns_up() -> None:
    """A namespace that comes when another has had a hundred turns gets every second one, not the next hundred."""
    queue = queue_of(1, *(("early", minute) for minute in range(200)))
    for _ in range(100):
        queue.leave(begin_next(queue))
    for minute in range(100):
        queue.wait(("late", str(minute)), claim("late", minute))
    begun = []
    for _ in range(10):
        key = begin_next(queue)
        begun.append(key[0])
        queue.leave(key)
    assert Counter(begun) == {"early": 5, "late": 5}


def test_the_oldest_of_a_namespace_goes_first() -> None:
    """Whatever the order in which a restarted controller sees them."""
    queue = queue_of(3, ("shop", 7), ("shop", 1), ("shop", 4))
    assert [name for _, name in queue.next_up()] == ["1", "4", "7"]


def test_another_order_holds_for_those_that_wait_and_those_to_come() -> None:
    """The youngest first, from now on; between namespaces turns stay as they are, and who leaves is found again."""
    queue = queue_of(3, ("shop", 1), ("shop", 4), ("bank", 2))
    queue.reorder(lambda _, claim: START - (claim.since - START))
    queue.wait(("shop", "7"), claim("shop", 7))
    assert queue.next_up() == [("shop", "7"), ("bank", "2"), ("shop", "4")]
    assert queue.leave(("shop", "7"))
    assert queue.leave(("shop", "1"))
    assert queue.next_up() == [("shop", "4"), ("bank", "2")]


def test_a_full_pool_holds_up_only_those_who_need_it() -> None:
    """The oldest waits for its target; a younger one of another target begins."""
    queue = FairQueue(10, {"slow": 1})
    queue.begin(("shop", "active"), claim("shop", 0, "slow"))
    queue.wait(("shop", "old"), claim("shop", 1, "slow"))
    queue.wait(("shop", "young"), claim("shop", 2, "fast"))
    assert queue.next_up() == [("shop", "young")]


def test_every_pool_of_a_run_must_have_a_place() -> None:
    """A node that is full stops a run though its target has room."""
    queue = FairQueue(10, {"target": 5, "node": 1})
    queue.begin(("a", "1"), claim("a", 0, "target", "node"))
    queue.wait(("b", "1"), claim("b", 0, "target", "node"))
    assert queue.next_up() == []
    queue.leave(("a", "1"))
    assert queue.next_up() == [("b", "1")]


def test_runs_of_an_earlier_controller_count_above_the_limit() -> None:
    """Three are active under a limit of two: the next begins when two have ended."""
    queue = queue_of(2, ("shop", 1))
    for name in ("x", "y", "z"):
        queue.begin(("shop", name), claim("shop"))
    queue.leave(("shop", "x"))
    assert queue.next_up() == []
    queue.leave(("shop", "y"))
    assert queue.next_up() == [("shop", "1")]


def test_who_leaves_is_unknown_afterwards() -> None:
    """Leaving twice is no news."""
    queue = queue_of(1, ("shop", 1))
    assert queue.leave(("shop", "1"))
    assert not queue.leave(("shop", "1"))
    assert queue.next_up() == []


namespaces = st.sampled_from(["a", "b", "c", "d"])
pools = st.sets(st.sampled_from(["target", "class", "node"]))
runs = st.lists(st.tuples(namespaces, pools), max_size=60)


@given(runs, st.integers(1, 5), st.dictionaries(st.sampled_from(["target", "class", "node"]), st.integers(1, 3)))
def test_no_limit_is_exceeded_and_everybody_runs(
    wanted: list[tuple[str, set[str]]], limit: int, limits: dict[str, int]
) -> None:
    """Whatever runs need: never more are active than a limit says, no place stays free in vain, and all get a turn."""
    queue = FairQueue(limit, limits)
    for number, (namespace, needs) in enumerate(wanted):
        queue.wait((namespace, str(number)), claim(namespace, number, *needs))
    begun: list[Key] = []
    while queue.waiting:
        for key in queue.next_up():
            queue.begin(key, queue.waiting[key])
            begun.append(key)
        used = Counter(pool for each in queue.active.values() for pool in each.pools)
        assert len(queue.active) <= limit
        assert all(used[pool] <= places for pool, places in limits.items())
        assert queue.active, "nothing is active though somebody waits"
        queue.leave(next(iter(queue.active)))
    assert sorted(begun) == sorted((namespace, str(number)) for number, (namespace, _) in enumerate(wanted))


@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(1, 6))
def test_shares_are_equal_while_all_want_more(counts: list[int], limit: int) -> None:
    """As long as two namespaces both wait, neither has had two turns more than the other."""
    queue = FairQueue(limit)
    for number, count in enumerate(counts):
        for place in range(count):
            queue.wait((str(number), str(place)), claim(str(number), place))
    turns: Counter[str] = Counter()
    while len({namespace for namespace, _ in queue.waiting}) == len(counts):
        key = begin_next(queue)
        turns[key[0]] += 1
        assert max(turns[str(n)] for n in range(len(counts))) - min(turns[str(n)] for n in range(len(counts))) <= 1
        if len(queue.active) == limit:
            queue.leave(next(iter(queue.active)))


@pytest.mark.parametrize("waiting", [1, 50])
def test_no_more_than_the_free_places_are_called(waiting: int) -> None:
    """Those that are called find a place."""
    queue = queue_of(3, *(("shop", minute) for minute in range(waiting)))
    assert len(queue.next_up()) == min(3, waiting)
