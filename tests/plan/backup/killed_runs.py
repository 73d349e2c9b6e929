"""A run led to its end while its controller dies before any of its writes."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.plan.backup.holdings import Volume
from tests.plan.backup.objects import RULES
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.plan.backup.reconcile import next_step
from safehold.plan.backup.run import Decision
from safehold.plan.conditions import is_finished

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
