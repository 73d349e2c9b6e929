"""Runs that fail again and again, by a process that dies or by one call of the store, until one comes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.errors import StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]
crashes = st.lists(st.tuples(st.integers(1, 45), st.booleans(), st.booleans()), min_size=1, max_size=4)
"""At which call, whether after its effect, and whether the store is gone from then on."""


def crashing(faulty: type[FaultyStore], lab: Laboratory, number: int, *, after: bool, lasting: bool) -> FaultyStore:
    """A store that fails at the n-th call; unless `lasting`, at that one only."""

    class Once(faulty):  # type: ignore[misc, valid-type] # the double comes as a fixture
        def _guarded(self, call: Callable[[], object]) -> None:
            try:
                super()._guarded(call)
            except StoreUnavailableError:
                self._fail_at = None
                raise

    store: FaultyStore = (faulty if lasting else Once)(lab.store, fail_at=number, after_effect=after)
    return store


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crashes)
def test_attempts_that_fail_anywhere_leave_nothing_that_harms(
    laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise, attempts: list[tuple[int, bool, bool]]
) -> None:
    """However often: one point of the run in the end, bit-identical, the older ones too, and not two of the run."""
    lab = type(laboratory)(laboratory.folder)
    base, content = noise(30 * CHUNK), noise(60 * CHUNK)
    older = lab.back_up(lab.disk(base))
    disk = lab.disk(content)
    for number, after, lasting in attempts:
        store = crashing(faulty, lab, number, after=after, lasting=lasting)
        try:
            lab.back_up(disk, store=store, run_id="run")
        except StoreUnavailableError:
            assert lab.restored(older) == base
    newer = lab.back_up(disk, run_id="run")
    assert lab.restored(newer) == content
    assert lab.restored(older) == base
    assert len(lab.objects("points/")) == 2


@pytest.mark.parametrize("after", [False, True])
def test_one_failing_call_leaves_no_upload_open(
    laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise, after: bool
) -> None:
    """Whichever call it is, the store is there to clean up in: nothing is left that costs money unseen."""
    content = noise(60 * CHUNK)
    counting = faulty(laboratory.store)
    laboratory.back_up(laboratory.disk(content), store=counting)
    for number in range(1, counting.calls + 1):
        lab = type(laboratory)(laboratory.folder)
        store = crashing(faulty, lab, number, after=after, lasting=False)
        with pytest.raises(StoreUnavailableError):
            lab.back_up(lab.disk(content), store=store, run_id="run")
        assert not lab.store.uploads
        assert lab.restored(lab.back_up(lab.disk(content), run_id="run")) == content
