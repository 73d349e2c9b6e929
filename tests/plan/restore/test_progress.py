"""Progress of each volume, out of what the worker says about one of them."""

import pytest

from safehold.api.base import Progress
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.restore.progress import with_progress
from safehold.report import Progress as Told
from safehold.report import VolumeProgress


def record(name: str, size: int, progress: Progress | None = None) -> VolumeRestore:
    """A volume of that size."""
    return VolumeRestore(
        name=name, mode="Block", capacity_bytes=size, prime_claim=name, claim_name=name, progress=progress
    )


def told(name: str, done: int, total: int, *, of_all: int) -> Told:
    """What the worker says."""
    volume = VolumeProgress(name=name, bytes_done=done, bytes_total=total)
    return Told(run_id="run", bytes_done=of_all, bytes_total=600, seconds=10, volume=volume)


def rows(records: list[VolumeRestore]) -> list[tuple[int, int, int, int | None]]:
    """Done, total, percent and the time left of each."""
    found = [each.progress for each in records]
    return [(p.bytes_done, p.bytes_total, p.percent, p.eta_seconds) for p in found if p]


def test_volumes_before_the_present_one_are_whole_and_those_after_it_wait() -> None:
    """A volume's end is when all before it are done as well, at the speed of the run so far."""
    records = [record("a", 100), record("b", 300), record("c", 200)]
    found = with_progress(records, told("b", 150, 300, of_all=250))
    assert rows(found) == [(100, 100, 100, 0), (150, 300, 50, 6), (0, 200, 0, 14)]


def test_the_size_of_the_disk_is_kept_when_the_worker_goes_on() -> None:
    """A claim may be larger than its disk: once the worker said how large that is, it stays so."""
    records = with_progress([record("a", 128), record("b", 64)], told("a", 50, 100, of_all=50))
    records = with_progress(records, told("b", 10, 60, of_all=110))
    assert rows(records)[0] == (100, 100, 100, 0)
    assert rows(records)[1][:3] == (10, 60, 16)


@pytest.mark.parametrize("message", [told("other", 1, 2, of_all=1), Told(run_id="run", bytes_done=1, bytes_total=2)])
def test_what_is_said_of_other_volumes_changes_nothing(message: Told) -> None:
    """The worker's word counts only for what it was asked to do."""
    records = [record("a", 100)]
    assert with_progress(records, message) == records


def test_nothing_is_expected_before_something_has_moved() -> None:
    """Without a speed there is no time left."""
    found = with_progress([record("a", 100)], told("a", 0, 100, of_all=0))
    assert rows(found) == [(0, 100, 0, None)]
