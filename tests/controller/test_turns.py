"""Who is called when a place is free."""

from datetime import UTC, datetime

from safehold.controller.queue import Key
from safehold.controller.turns import Turns
from safehold.plan.fair_queue import Claim, FairQueue

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def claim(*pools: str) -> Claim:
    """A run of the shop."""
    return Claim(namespace="shop", since=NOW, pools=frozenset(pools))


def turns_of(limit: int) -> tuple[Turns, list[Key]]:
    """The turns, and whom they have called."""
    called: list[Key] = []
    return Turns(FairQueue(limit), called.append), called


def test_who_waits_is_called_when_a_run_ends() -> None:
    """A place that is given back goes to the one whose turn it is."""
    turns, called = turns_of(1)
    assert turns.take(("shop", "a"), claim(), {})
    assert not turns.take(("shop", "b"), claim(), {})
    turns.give(("shop", "a"))
    assert called == [("shop", "b")]
    assert turns.take(("shop", "b"), claim(), {})


def test_a_run_keeps_its_place() -> None:
    """Asking again costs nothing, and a run that was active before a restart is so above the limit."""
    turns, _ = turns_of(1)
    assert turns.take(("shop", "a"), claim(), {}, active=True)
    assert turns.take(("shop", "b"), claim(), {}, active=True)
    assert turns.take(("shop", "a"), claim(), {})
    assert not turns.take(("shop", "c"), claim(), {})


def test_a_look_is_of_no_use_before_the_turn() -> None:
    """While the limit is reached nobody is looked at; whoever holds a place always is."""
    turns, called = turns_of(1)
    assert turns.may_look(("shop", "a"), claim())
    turns.take(("shop", "a"), claim(), {})
    assert turns.may_look(("shop", "a"), claim())
    assert not turns.may_look(("shop", "b"), claim())
    turns.give(("shop", "a"))
    assert called == [("shop", "b")]


def test_what_an_earlier_look_found_out_is_kept() -> None:
    """A run that waits for a node's place is not looked at again before there is one."""
    turns, _ = turns_of(5)
    turns.take(("shop", "a"), claim("node"), {"node": 1})
    assert not turns.take(("shop", "b"), claim("node"), {"node": 1})
    assert not turns.may_look(("shop", "b"), claim())


def test_a_limit_that_is_raised_calls_those_that_wait() -> None:
    """Also one that is taken away."""
    turns, called = turns_of(9)
    turns.take(("shop", "a"), claim("target"), {"target": 1})
    for name in ("b", "c"):
        assert not turns.take(("shop", name), claim("target"), {"target": 1})
    assert called == []
    turns.take(("shop", "a"), claim("target"), {"target": 2})
    assert called == [("shop", "b")]
    turns.take(("shop", "a"), claim("target"), {"target": None})
    assert set(called) == {("shop", "b"), ("shop", "c")}


def test_who_turns_out_not_to_fit_passes_the_turn_on() -> None:
    """A look finds that the node is full: the place is for the next one, who is told."""
    turns, called = turns_of(2)
    turns.take(("shop", "a"), claim("node"), {"node": 1})
    assert turns.may_look(("shop", "b"), claim())
    assert not turns.may_look(("shop", "c"), claim())
    assert not turns.take(("shop", "b"), claim("node"), {"node": 1})
    assert called == [("shop", "c")]
    assert turns.take(("shop", "c"), claim(), {})


def test_a_limit_that_is_raised_calls_at_once() -> None:
    """Whoever waits need not wait for a run to end; a limit that is lowered, or stays, calls nobody."""
    turns, called = turns_of(9)
    for name in ("a", "b", "c"):
        turns.take(("shop", name), claim("target"), {"target": 1})
    turns.heed({"target": 1})
    assert called == []
    turns.heed({"target": 2})
    assert called == [("shop", "b")]
    called.clear()
    turns.heed({"target": None})
    assert set(called) == {("shop", "b"), ("shop", "c")}
