"""A store whose clock jumps, between runs and within them: it costs deduplication or a repetition, never a byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.errors import ExpiredRunError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory
    from tests.engine.faults.conftest import Meanwhile

    from safehold.engine.store.memory import MemoryStore

CHUNK = 512
Noise = Callable[[int], bytes]
_TODAY = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_RUN_HOURS = 48
_HOURS = 24 * 365
hours = st.one_of(st.integers(-3, 3), st.integers(-55 * _HOURS, 70 * _HOURS))
"""From shortly after 1970, where a machine without a battery begins, to the end of the century."""


def set_clock(store: MemoryStore, to: datetime) -> None:
    """Let the store tell this time from now on."""
    store.now = to


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(hours, hours, st.integers(1, 12)), min_size=2, max_size=5))
def test_a_clock_that_jumps_costs_no_byte(
    laboratory: Laboratory, noise: Noise, meanwhile: type[Meanwhile], jumps: list[tuple[int, int, int]]
) -> None:
    """Every point is whole and stays it, in the order in which they were made; a run that seems too old is repeated."""
    lab = type(laboratory)(laboratory.folder)
    content = bytearray(noise(60 * CHUNK))
    points = []
    for number, (before, within, looks) in enumerate(jumps):
        at = number * 7 * CHUNK
        content[at : at + 3 * CHUNK] = noise(3 * CHUNK)
        disk = lab.disk(bytes(content))
        start = _TODAY + timedelta(hours=before)
        lab.store.now = start
        jump = meanwhile(looks, partial(set_clock, lab.store, start + timedelta(hours=within)))
        try:
            point = lab.back_up(disk, run_id=f"run-{number}", stop=jump)
        except ExpiredRunError:
            assert within >= _MAX_RUN_HOURS
            point = lab.back_up(disk, run_id=f"run-{number}")
        points.append((point, bytes(content)))
        assert lab.domain().points.latest(lab.owner()) == point
    assert [point.sequence for point, _ in points] == sorted({point.sequence for point, _ in points})
    assert all(lab.restored(point) == kept for point, kept in points)
