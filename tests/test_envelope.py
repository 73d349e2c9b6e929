"""The envelope that carries a VM's manifests through a worker's log."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.envelope import new_key, seal, unseal
from safehold.errors import IntegrityError
from safehold.run import Progress

OBJECTS: list[dict[str, Any]] = [{"kind": "Secret", "data": {str(number): "x" * 97}} for number in range(3000)]
KEY = new_key()


def lines(run_id: str = "run") -> list[str]:
    """A worker's log with progress before and between the envelope's lines."""
    noise = Progress(run_id=run_id, bytes_done=1, bytes_total=2).model_dump_json()
    incompressible = [{"kind": "Secret", "data": new_key().hex()} for _ in range(1000)]
    sealed = [line.model_dump_json() for line in seal([*OBJECTS, *incompressible], key=KEY, run_id=run_id)]
    assert len(sealed) > 2
    return [noise, sealed[0], noise, "not json", *sealed[1:]]


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5))
def test_what_was_sealed_is_unsealed(objects: list[dict[str, Any]]) -> None:
    """Any objects come back as they were."""
    log = [line.model_dump_json() for line in seal(objects, key=KEY, run_id="run")]
    assert unseal(log, key=KEY, run_id="run") == objects


def test_the_log_shows_nothing() -> None:
    """Neither names nor values of the objects are in the lines."""
    text = "".join(line.model_dump_json() for line in seal([{"password": "hunter2"}], key=KEY, run_id="run"))
    assert "hunter2" not in text
    assert "password" not in text


def test_lines_may_lie_between_others() -> None:
    """Progress and foreign lines in the log do not disturb; every line stays under what a kubelet cuts."""
    log = lines()
    assert unseal(log, key=KEY, run_id="run")[: len(OBJECTS)] == OBJECTS
    assert max(map(len, log)) < 16 * 1024


@pytest.mark.parametrize("damage", ["dropped", "changed", "other run", "other key", "none"])
def test_damage_is_noticed(damage: str) -> None:
    """A missing or changed line, another run's lines and another key are refused, never half used."""
    log, key = lines(), KEY
    match damage:
        case "dropped":
            log.pop()
        case "changed":
            log[-1] = log[-1].replace('"sealed":"', '"sealed":"A')
        case "other run":
            log = [line.replace('"run"', '"run2"') for line in lines()]
            with pytest.raises(IntegrityError):
                unseal(log, key=key, run_id="run2")
        case "other key":
            key = new_key()
        case "none":
            log = []
    with pytest.raises(IntegrityError):
        unseal(log, key=key, run_id="run")
