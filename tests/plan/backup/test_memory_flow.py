"""A whole backup with the guest's memory against a model of the cluster, killed before any write."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.killed_runs import deleted, nothing_is_left, run
from tests.plan.backup.memory_world import MemoryWorld
from tests.plan.backup.objects import new_backup
from tests.plan.backup.world import World

from safehold.plan.conditions import READY, is_true


def begun() -> MemoryWorld:
    """A run that wants a dump."""
    backup = new_backup()
    return MemoryWorld(backup.model_copy(update={"spec": backup.spec.model_copy(update={"memory_dump": True})}))


def nothing_of_the_dump_is_left(world: MemoryWorld) -> None:
    """Neither claim nor association nor snapshot, and nothing of the disks."""
    world.facts()
    assert (world.claim, world.request) == ("", "")
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 80), max_size=25))
@settings(max_examples=200)
def test_a_run_with_memory_that_is_killed_anywhere_still_completes(deaths: frozenset[int]) -> None:
    """One worker, one point with the dump in it, and nothing of claim, association and snapshots."""
    world = begun()
    run(world, deaths)
    status = world.backup.status
    assert is_true(status.conditions, READY)
    assert status.memory_dump is not None
    assert status.memory_dump.phase == "Stored"
    assert {volume.name: volume.role for volume in status.volumes}["safehold-memory-dump"] == "MemoryDump"
    assert world.job_started == 1
    nothing_of_the_dump_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 80), max_size=10), look=st.integers(0, 16))
@settings(max_examples=200)
def test_a_deleted_backup_takes_its_dump_along(deaths: frozenset[int], look: int) -> None:
    """Deleted at any moment, also while KubeVirt writes the dump, the run goes when nothing of it is left."""

    def tenant(world: World, at: int) -> None:
        if at == look:
            world.backup = deleted(world)

    world = begun()
    run(world, deaths, tenant)
    nothing_of_the_dump_is_left(world)
