"""A whole backup against a model of the cluster, killed before any write, while a tenant deletes things."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.objects import RULES, new_backup
from tests.plan.backup.world import Volume, World

from safehold.api import VMBackup
from safehold.plan.backup.reconcile import next_step
from safehold.plan.backup.run import Decision
from safehold.plan.conditions import READY, is_finished, is_true

Die = Callable[[], bool]


class Killed(Exception):  # noqa: N818  # not an error: the controller's process ends
    """The controller dies here."""


def reconcile(world: World, die: Die) -> None:
    """What the controller does for one event; `die` says before each write whether the process ends there."""
    for _ in range(50):
        decision: Decision = next_step(world.backup, world.facts(), RULES, world.now)
        if decision.status != world.backup.status:
            if die():
                raise Killed
            world.backup = world.backup.model_copy(update={"status": decision.status})
        for step in decision.steps:
            if die():
                raise Killed
            world.carry_out(step)
        world.released = world.released or decision.released
        if decision.again != 0:
            return
    pytest.fail("a reconcile does not come to rest")


def run(world: World, deaths: frozenset[int] = frozenset(), tenant: Callable[[World, int], None] | None = None) -> None:
    """Reconcile until the run is over; the process dies before the writes with these numbers."""
    writes = iter(range(10_000))
    for look in range(200):
        with suppress(Killed):
            reconcile(world, lambda: next(writes) in deaths)
        if is_finished(world.backup.status.conditions) and (
            world.released or world.backup.metadata.deletion_timestamp is None
        ):
            return
        if tenant:
            tenant(world, look)
        world.look()
    pytest.fail("the run does not end")


def nothing_is_left(world: World) -> None:
    """No object of the run, no held content, no frozen guest, no physical snapshot."""
    assert (world.snapshot, world.job, world.machine_secret, world.frozen) == (None, None, False, False)
    for volume in world.volumes:
        assert volume == Volume(volume.name)


def deleted(world: World) -> VMBackup:
    """The VMBackup, as it is once a person has deleted it."""
    metadata = world.backup.metadata.model_copy(update={"deletion_timestamp": world.now})
    return world.backup.model_copy(update={"metadata": metadata})


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
