"""When what a restore in place keeps goes, and when the VMRestore itself does."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.plan.restore.completion import NAMES, WEEK, completed, expire
from tests.plan.restore.objects import NOW, restore
from tests.plan.restore.world import World

from safehold.plan.names import KEPT_UNTIL, UNDO_OF
from safehold.plan.restore import steps
from safehold.plan.restore.undo.keeping import is_overdue


@pytest.mark.parametrize("undone", [False, True])
def test_what_is_kept_is_removed_when_its_time_is_over(undone: bool) -> None:
    """Snapshot first, then the volumes by the policy that they had; and not a moment before."""
    world = completed()
    if undone:
        world.ask_undo()
        world.run()
    until, kept = world.restore.status.undo_until, "old" if not undone else "restored"
    assert until is not None
    world.now = until - timedelta(seconds=1)
    assert world.decide().step == steps.Finished(look_again=until)
    world.now = until
    assert isinstance(world.decide().step, steps.DeleteSafetySnapshot)
    world.run()
    assert world.lost == [kept, kept]
    assert world.safety is None
    assert world.restore.status.removal_time is not None
    assert world.restore.status.phase == ("Undone" if undone else "Completed")
    assert [world.content_of(f"orders-{name}") for name in NAMES] == ["old" if undone else "restored"] * 2


def test_a_class_that_retains_keeps_the_volume() -> None:
    """A kept volume whose policy was Retain loses its marks, and stays for whoever asked for that."""
    world = World.with_running_vm()
    for name in NAMES:
        world.volumes[f"old-{name}"] = replace(world.volumes[f"old-{name}"], reclaim_policy="Retain")
    world.run()
    expire(world)
    world.run()
    assert world.lost == []
    assert not any(UNDO_OF in world.volumes[f"old-{name}"].labels for name in NAMES)


def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    """`keepOldVolumesFor: 0s` removes the replaced volumes as soon as the restore has ended."""
    world = completed(keepOldVolumesFor="0s")
    world.run()
    assert world.lost == ["old", "old"]


@pytest.mark.parametrize(
    ("spec", "marks", "due"),
    [
        ({"ttlSecondsAfterFinished": 60, "keepOldVolumesFor": "0s"}, {}, timedelta(seconds=60)),
        ({"ttlSecondsAfterFinished": 60}, {}, WEEK),
        ({"ttlSecondsAfterFinished": 8 * 86_400}, {}, timedelta(days=8)),
        ({}, {}, None),
        ({"ttlSecondsAfterFinished": 60}, {"argocd.argoproj.io/tracking-id": "shop"}, None),
        ({"ttlSecondsAfterFinished": 60}, {"kustomize.toolkit.fluxcd.io/name": "shop"}, None),
    ],
)
def test_a_restore_goes_in_time(spec: dict[str, Any], marks: dict[str, str], due: timedelta | None) -> None:
    """After its ttl and never before what it keeps; never where a GitOps tool would make it, and restore, again."""
    world = World.with_running_vm(restore(**spec))
    metadata = world.restore.metadata.model_copy(update={"annotations": marks})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    began = world.now
    deleted = None
    for _ in range(40):
        decision = world.decide()
        world.save(decision.status)
        if isinstance(decision.step, steps.DeleteRestore):
            deleted = world.now - began
            break
        if isinstance(decision.step, steps.Finished):
            if decision.step.look_again is None:
                break
            world.now = decision.step.look_again
            continue
        world.carry_out(decision.step)
        world.others()
    assert (deleted is None) == (due is None)
    assert deleted is None or due is None or abs(deleted - due) < timedelta(minutes=1)


def test_a_restore_that_git_applies_again_does_nothing() -> None:
    """With the same spec an ended restore stays as it is, whatever became of the VM since."""
    world = completed()
    ended = world.restore.status
    metadata = world.restore.metadata.model_copy(update={"annotations": {"applied": "again"}})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.vm = None
    decision = world.decide()
    assert isinstance(decision.step, steps.Finished)
    assert decision.status == ended


def test_a_restore_that_is_deleted_early_leaves_what_it_keeps() -> None:
    """The volumes stay until their own time, which they say themselves."""
    world = completed()
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": NOW})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    assert world.lost == []
    annotations = world.volumes["old-root"].annotations
    until = datetime.fromisoformat(annotations[KEPT_UNTIL])
    assert [is_overdue(annotations, until + timedelta(seconds=after)) for after in (-1, 0)] == [False, True]
    assert not is_overdue({}, until)
