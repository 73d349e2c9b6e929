"""A restore in place that has completed, and one that was undone."""

from datetime import timedelta
from typing import Any

from tests.plan.restore.objects import restore
from tests.plan.restore.world import World

from safehold.plan.conditions import is_true
from safehold.plan.names import KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY, UNDO_OF

NAMES = ("root", "data")
WEEK = timedelta(days=7)


def completed(**spec: Any) -> World:
    """A restore in place that has ended well."""
    world = World.with_running_vm(restore(**spec))
    world.run()
    assert is_true(world.restore.status.conditions, "Ready"), world.restore.status
    return world


def assert_undone(world: World) -> None:
    """The VM runs as before the undo on its old volumes; the restored ones are kept, as long as the old ones were."""
    status = world.restore.status
    assert (status.phase, is_true(status.conditions, "Ready")) == ("Undone", True), status
    assert world.vm is not None
    assert (world.vm.run_strategy, world.vm.is_running) == ("Always", True)
    for record in status.volumes:
        old, new = world.volumes[f"old-{record.name}"], world.volumes[record.persistent_volume or ""]
        assert world.content_of(record.claim_name) == "old"
        assert (old.reclaim_policy, UNDO_OF in old.labels, KEPT_UNTIL in old.annotations) == ("Delete", False, False)
        assert (new.reclaim_policy, new.labels[UNDO_OF]) == ("Retain", "restore-uid")
        assert new.annotations[ORIGINAL_RECLAIM_POLICY] == "Delete"
        assert status.undo_until is not None
        assert new.annotations[KEPT_UNTIL] == status.undo_until.isoformat()
        assert world.contents[new.name] == "restored"
    assert not world.leftovers()
    assert world.lost == []


def expire(world: World) -> None:
    """The time for an undo is over, and nobody has removed anything yet."""
    world.now += WEEK + timedelta(hours=1)
