"""What a run's comparison with a scan means for status, condition and the next run."""

from datetime import timedelta

from tests.plan.backup.killed_runs import run
from tests.plan.backup.objects import START, new_backup
from tests.plan.backup.world import World

from safehold.plan.backup.verification import CHANGED_BLOCKS_TRUSTED, lies
from safehold.plan.conditions import READY, is_true


def ended(mismatched_bytes: dict[str, int]) -> World:
    """A run whose worker verified these volumes."""
    world = World(new_backup(), service=True, mismatched_bytes=mismatched_bytes)
    run(world)
    return world


def test_a_lie_is_told_and_the_point_is_good() -> None:
    """The condition says which volume and how much; the run succeeds, since the point has what the scan found."""
    status = ended({"data": 131072, "logs": 0}).backup.status
    told = next(found for found in status.conditions if found.type == CHANGED_BLOCKS_TRUSTED)
    assert (told.status, told.reason) == ("False", "ChangedBlocksLied")
    assert "volume data: 131072 bytes" in told.message
    assert is_true(status.conditions, READY)
    assert [volume.name for volume in lies(status.volumes)] == ["data"]
    assert {volume.name: volume.distrusted for volume in status.volumes} == {"data": True, "logs": False}


def test_a_clean_verification_restores_trust_and_its_term() -> None:
    """The volume's verified time is the capture's, and the condition is True."""
    status = ended({"data": 0, "logs": 0}).backup.status
    told = next(found for found in status.conditions if found.type == CHANGED_BLOCKS_TRUSTED)
    assert (told.status, told.reason) == ("True", "ChangedBlocksConfirmed")
    assert {volume.verified_time for volume in status.volumes} == {START + timedelta(seconds=3)}


def test_a_run_that_compared_nothing_says_nothing() -> None:
    """The condition is about comparisons, so without one it is absent; the term has begun all the same."""
    status = ended({}).backup.status
    assert [found for found in status.conditions if found.type == CHANGED_BLOCKS_TRUSTED] == []
    assert {volume.verified_time for volume in status.volumes} == {START + timedelta(seconds=3)}
    assert not any(volume.distrusted for volume in status.volumes)
