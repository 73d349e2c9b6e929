"""Slots of active runs: the limit, the order, and what a restart keeps."""

from hypothesis import given
from hypothesis import strategies as st

from safehold.controller.queue import Key
from safehold.controller.slots import RunSlots


def key(number: int) -> Key:
    """A VMBackup."""
    return "shop", f"b{number}"


def test_who_waits_is_called_in_order_of_arrival() -> None:
    """A slot that is given back goes to the one that waits longest, not to the one that asks first."""
    called: list[Key] = []
    slots = RunSlots(1, called.append)
    assert slots.take(key(1))
    assert not slots.take(key(2))
    assert not slots.take(key(3))
    slots.give(key(1))
    assert called == [key(2)]
    assert not slots.take(key(3)), "the second in the queue must not overtake"
    assert slots.take(key(2))


def test_slots_that_are_given_at_once_go_to_as_many() -> None:
    """Two slots, two waiting: both get one, in whichever order they ask."""
    called: list[Key] = []
    slots = RunSlots(2, called.append)
    for number in (1, 2, 3, 4):
        slots.take(key(number))
    slots.give(key(1))
    slots.give(key(2))
    assert set(called) == {key(3), key(4)}
    assert slots.take(key(4))
    assert slots.take(key(3))


def test_a_run_keeps_its_slot() -> None:
    """Asking again costs nothing; an active run of an earlier controller gets one even above the limit."""
    slots = RunSlots(1, lambda _: None)
    assert slots.take(key(1), active=True)
    assert slots.take(key(2), active=True)
    assert slots.take(key(1))
    slots.give(key(1))
    assert not slots.take(key(3)), "the other active run still has the only slot"


def test_who_stops_to_wait_does_not_hold_up_others() -> None:
    """A waiting VMBackup that is deleted leaves its place."""
    slots = RunSlots(1, lambda _: None)
    slots.take(key(1))
    slots.take(key(2))
    slots.take(key(3))
    slots.give(key(2))
    slots.give(key(1))
    assert slots.take(key(3))


def test_another_limit_holds_from_then_on() -> None:
    """A higher one calls those that it has room for, a lower one nobody; without one all are called."""
    called: list[Key] = []
    slots = RunSlots(1, called.append)
    for number in (1, 2, 3, 4):
        slots.take(key(number))
    slots.change(2)
    assert called == [key(2)]
    assert slots.take(key(2))
    called.clear()
    slots.change(1)
    slots.give(key(1))
    assert called == []
    slots.change(None)
    assert called == [key(3), key(4)]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=200), st.integers(1, 4))
def test_the_limit_holds_and_nobody_starves(moves: list[tuple[int, bool]], limit: int) -> None:
    """Whatever is asked and given, never more than the limit is active, and in the end everybody had a turn."""
    waiting: list[Key] = []
    slots = RunSlots(limit, waiting.append)
    active: set[Key] = set()
    wanting: set[Key] = set()
    for number, asks in moves:
        if asks:
            (active if slots.take(key(number)) else wanting).add(key(number))
        else:
            slots.give(key(number))
            active.discard(key(number))
            wanting.discard(key(number))
        assert len(active) <= limit
    wanting -= active
    for _ in range(20):
        for done in list(active):
            slots.give(done)
            active.discard(done)
        for called in dict.fromkeys(waiting):
            if called in wanting and slots.take(called):
                active.add(called)
                wanting.discard(called)
        waiting.clear()
        if not active and wanting:  # one slot was free, and its call came before the loop
            first = min(wanting)
            if slots.take(first):
                active.add(first)
                wanting.discard(first)
    assert not wanting
