"""The three conditions of every kind, in the shape that kstatus (Argo CD, Flux, `kubectl wait`) understands.

| state | Ready | Reconciling | Stalled | meaning |
|---|---|---|---|---|
| ready | True | False | False | done, or usable |
| in progress | False | True | False | goes on by itself |
| stalled | False | False | True | nothing goes on until somebody acts |
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from safehold.api import Condition
from safehold.reasons import Reason

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
CONSISTENT = "ConsistencyReached"
"""Of a VMBackup: whether its point is as consistent as was demanded. It may be False while Ready is True."""

State = Literal["Ready", "InProgress", "Stalled"]

_HOLDS: dict[State, str] = {"Ready": READY, "InProgress": RECONCILING, "Stalled": STALLED}


def set_condition(conditions: Iterable[Condition], new: Condition) -> list[Condition]:
    """Put `new` in the place of the condition of its type, or at the end.

    The transition time moves only when the status flips; everything else is taken from `new`.
    """
    kept = list(conditions)
    for place, old in enumerate(kept):
        if old.type == new.type:
            if old.status == new.status:
                new = new.model_copy(update={"last_transition_time": old.last_transition_time})
            kept[place] = new
            return kept
    return [*kept, new]


def conditions_for(
    state: State, previous: Iterable[Condition], *, generation: int, now: datetime, reason: Reason, message: str
) -> list[Condition]:
    """All three conditions of an object in `state`, with one reason and message, after the `previous` ones."""
    conditions = list(previous)
    for kind in (READY, RECONCILING, STALLED):
        conditions = set_condition(
            conditions,
            Condition(
                type=kind,
                status="True" if kind == _HOLDS[state] else "False",
                observed_generation=generation,
                last_transition_time=now,
                reason=reason.value,
                message=message,
            ),
        )
    return conditions


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition of that type is there and True."""
    return any(condition.type == kind and condition.status == "True" for condition in conditions)


def is_finished(conditions: Iterable[Condition]) -> bool:
    """Whether a one-shot object came to its end, well (Ready) or badly (Stalled)."""
    kept = list(conditions)
    return is_true(kept, READY) or is_true(kept, STALLED)
