"""The circuit breaker."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.timing import CircuitBreaker
from safehold.plan.policy.breaker import delay_after

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Ended:
    """A backup of an hourly run that took ten minutes."""

    number: int
    succeeded: bool = False
    finished: bool = True

    @property
    def run(self) -> str:
        """Its run time."""
        return f"{START + self.number * HOUR:%Y%m%dt%H%M%S}"

    @property
    def ended(self) -> datetime | None:
        """Ten minutes after it."""
        return START + self.number * HOUR + timedelta(minutes=10) if self.finished else None


def outcomes(story: str) -> list[Ended]:
    """A letter for each run: f failed, s succeeded, a active."""
    return [Ended(number, succeeded=letter == "s", finished=letter != "a") for number, letter in enumerate(story)]


@pytest.mark.parametrize(
    ("story", "failures", "hours"),
    [
        ("", 0, 0),
        ("ff", 0, 0),
        ("fff", 3, 1),
        ("ffff", 4, 2),
        ("sfffff", 5, 4),
        ("ffffffffff", 10, 6),
        ("fffs", 0, 0),
        ("fffsff", 0, 0),
        ("fffa", 3, 1),
        ("fafff", 4, 2),
    ],
)
def test_delays_grow_until_a_success(story: str, failures: int, hours: int) -> None:
    """From the third failure in a row on an hour, doubled with each; at most `maxDelay`; a success ends it."""
    found = delay_after(CircuitBreaker(), "uid", reversed(outcomes(story)))
    if not failures:
        assert found is None
        return
    assert found is not None
    assert found.failures == failures
    last = START + story.rindex("f") * HOUR + timedelta(minutes=10)
    assert last + hours * HOUR * 3 / 4 < found.until <= last + hours * HOUR


def test_vms_that_failed_together_come_back_apart() -> None:
    """The delay has a part by chance, which is the same at every look."""
    found = [delay_after(CircuitBreaker(), f"uid-{number}", outcomes("fff")) for number in range(20)]
    assert len({delay.until for delay in found if delay}) > 15
    assert found == [delay_after(CircuitBreaker(), f"uid-{number}", outcomes("fff")) for number in range(20)]


@given(st.text("fs", max_size=30), st.integers(1, 10), st.text(min_size=1, max_size=10))
def test_a_delay_follows_from_the_failures_at_the_end(story: str, threshold: int, uid: str) -> None:
    """There is one exactly where the last failures in a row are as many as the threshold; it has an end."""
    row = len(story) - len(story.rstrip("f"))
    found = delay_after(CircuitBreaker(failures=threshold, max_delay="6h"), uid, outcomes(story))
    assert (found is not None) == (row >= threshold)
    if found is not None:
        assert found.failures == row
        assert found.until <= START + len(story) * HOUR + 6 * HOUR
