"""A whole backup against a model of the cluster, killed before any write, while a tenant deletes things."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.killed_runs import deleted, nothing_is_left, reconcile, run
from tests.plan.backup.objects import new_backup
from tests.plan.backup.world import World

from safehold.plan.conditions import READY, is_true


def test_a_backup_runs_to_a_restore_point_and_leaves_nothing() -> None:
    """Undisturbed, a run ends Ready with its point and its numbers, and everything it made is gone."""
    world = World(new_backup())
    run(world)
    status = world.backup.status
    assert is_true(status.conditions, READY)
    assert (status.phase, status.restore_point, status.bytes_total, status.bytes_stored) == (
        "Completed",
        "point-1",
        2 << 30,
        10,
    )
    assert status.handles == []
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=25))
@settings(max_examples=300)
def test_a_run_that_is_killed_anywhere_still_completes(deaths: frozenset[int]) -> None:
    """However often the controller dies before a write, the run ends with its point, one worker, and no leftovers."""
    world = World(new_backup())
    run(world, deaths)
    assert is_true(world.backup.status.conditions, READY)
    assert world.job_started == 1
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 12))
@settings(max_examples=300)
def test_a_deleted_backup_cleans_up_and_goes(deaths: frozenset[int], look: int) -> None:
    """Deleting the VMBackup at any moment cancels the run, and it goes only when nothing of it is left."""

    def tenant(world: World, at: int) -> None:
        if at == look:
            world.backup = deleted(world)

    world = World(new_backup())
    run(world, deaths, tenant)
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 12))
@settings(max_examples=300)
def test_a_tenant_who_deletes_the_snapshot_loses_nothing_but_the_run(deaths: frozenset[int], look: int) -> None:
    """The snapshot may be deleted at any moment: the run completes or fails, reads no gone snapshot, leaves nothing."""

    def tenant(world: World, at: int) -> None:
        if at == look and world.snapshot is not None:
            world.delete_snapshot()

    world = World(new_backup())
    run(world, deaths, tenant)
    nothing_is_left(world)
    status = world.backup.status
    assert (status.restore_point is None) == (status.failure is not None)


def test_a_namespace_that_ends_is_not_held_up() -> None:
    """With a namespace that ends, the VMBackup is released although objects of the run are still there."""
    world = World(new_backup())
    for _ in range(4):
        reconcile(world, lambda: False)
        world.look()
    assert any(volume.pair_snapshot for volume in world.volumes)
    world.namespace_ending, world.backup = True, deleted(world)
    reconcile(world, lambda: False)
    assert world.released
