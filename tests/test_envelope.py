"""The envelope that carries a VM's manifests through a worker's log."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.envelope import new_key, open_machine, seal_machine
from safehold.errors import IntegrityError
from safehold.report import SealedMachine

OBJECTS: list[dict[str, Any]] = [{"kind": "Secret", "data": {str(number): "x" * 97}} for number in range(3000)]
KEY = new_key()


def lines(run_id: str = "run") -> list[SealedMachine]:
    """What a worker prints of a machine with many objects."""
    sealed = seal_machine(OBJECTS, KEY, run_id)
    assert len(sealed) > 2
    return sealed


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5))
def test_what_was_sealed_is_unsealed(objects: list[dict[str, Any]]) -> None:
    """Any objects come back as they were."""
    assert open_machine(seal_machine(objects, KEY, "run"), KEY, "run") == objects


def test_the_log_shows_nothing() -> None:
    """Neither names nor values of the objects are in the lines."""
    text = "".join(line.model_dump_json() for line in seal_machine([{"password": "hunter2"}], KEY, "run"))
    assert "hunter2" not in text
    assert "password" not in text


def test_lines_are_short_and_in_any_order() -> None:
    """Every line stays under the 16 KiB at which a container runtime splits them; their order does not matter."""
    sealed = lines()
    assert open_machine(reversed(sealed), KEY, "run") == OBJECTS
    assert max(len(line.model_dump_json()) for line in sealed) < 16 * 1024


@pytest.mark.parametrize("damage", ["dropped", "changed", "other run", "other key", "none"])
def test_damage_is_noticed(damage: str) -> None:
    """A missing or changed line, another run's lines and another key are refused, never half used."""
    sealed, key = lines(), KEY
    match damage:
        case "dropped":
            sealed.pop()
        case "changed":
            sealed[0], sealed[1] = (
                sealed[0].model_copy(update={"sealed": sealed[1].sealed}),
                sealed[1].model_copy(update={"sealed": sealed[0].sealed}),
            )
        case "other run":
            sealed = [line.model_copy(update={"run_id": "run"}) for line in lines("other")]
        case "other key":
            key = new_key()
        case "none":
            sealed = []
    with pytest.raises(IntegrityError):
        open_machine(sealed, key, "run")
