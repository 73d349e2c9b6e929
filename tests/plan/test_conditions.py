"""Conditions as kstatus reads them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api import Condition
from safehold.plan.conditions import State, conditions_for, is_finished, is_true, set_condition
from safehold.reasons import Reason

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
STATES: list[State] = ["Ready", "InProgress", "Stalled"]


def in_state(
    state: State, previous: list[Condition] | None = None, minute: int = 0, message: str = ""
) -> list[Condition]:
    """The conditions of an object that is in `state` some minutes after the start, at generation 10 + minutes."""
    return conditions_for(
        state,
        previous or [],
        generation=10 + minute,
        now=START + timedelta(minutes=minute),
        reason=Reason.RUNNING,
        message=message,
    )


@pytest.mark.parametrize(
    ("state", "ready", "reconciling", "stalled"),
    [
        ("Ready", "True", "False", "False"),
        ("InProgress", "False", "True", "False"),
        ("Stalled", "False", "False", "True"),
    ],
)
def test_states(state: State, ready: str, reconciling: str, stalled: str) -> None:
    """Each state sets all three conditions, exactly one of them True."""
    statuses = {condition.type: condition.status for condition in in_state(state)}
    assert statuses == {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled}


def test_transition_time() -> None:
    """The transition time moves when the status flips, and not when only the message or the generation changes."""
    first = in_state("InProgress", message="snapshot")
    second = in_state("InProgress", first, minute=5, message="transfer")
    third = in_state("Ready", second, minute=9, message="done")
    times = [{condition.type: condition.last_transition_time for condition in step} for step in (first, second, third)]
    assert times[1] == times[0]
    assert times[2] == {
        "Ready": START + timedelta(minutes=9),
        "Reconciling": START + timedelta(minutes=9),
        "Stalled": START,
    }
    assert {(condition.observed_generation, condition.message) for condition in second} == {(15, "transfer")}


def test_foreign_conditions_stay() -> None:
    """A condition of another type keeps its place and its content."""
    foreign = Condition(
        type="Audited",
        status="True",
        observed_generation=1,
        last_transition_time=START,
        reason="Checked",
        message="by hand",
    )
    assert in_state("Ready", [foreign])[0] == foreign


def test_long_message() -> None:
    """A message that the definition would refuse is cut, and shows that it is."""
    (ready, *_) = in_state("Stalled", message="x" * 5000)
    assert len(ready.message) == 1024
    assert ready.message.endswith("…")


@pytest.mark.parametrize(("state", "finished"), [("Ready", True), ("InProgress", False), ("Stalled", True)])
def test_finished(state: State, finished: bool) -> None:
    """A one-shot object is finished when it succeeded and when it failed for good, not before."""
    assert is_finished(in_state(state)) is finished
    assert is_finished([]) is False


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 100)), min_size=1))
def test_any_history(history: list[tuple[State, int]]) -> None:
    """After any history the conditions are those of the last state, one per type, and repeating it changes nothing."""
    conditions: list[Condition] = []
    for state, minute in history:
        conditions = in_state(state, conditions, minute)
    last, minute = history[-1]
    assert [condition.type for condition in conditions] == ["Ready", "Reconciling", "Stalled"]
    assert is_true(conditions, {"Ready": "Ready", "InProgress": "Reconciling", "Stalled": "Stalled"}[last])
    assert sum(condition.status == "True" for condition in conditions) == 1
    assert in_state(last, conditions, minute) == conditions
    for condition in conditions:
        assert set_condition(conditions, condition) == conditions
