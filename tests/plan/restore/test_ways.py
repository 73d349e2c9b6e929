"""What new volumes are made from: the best that fits, and everything fetched where that does not come about."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.restore.objects import DRIVER, GIB, snapshot_handle
from tests.plan.restore.test_flow import assert_restored_in_place
from tests.plan.restore.world import World

from safehold.plan.restore import steps
from safehold.plan.restore.facts import OwnSnapshot, Ways
from safehold.plan.restore.reconcile import next_step
from safehold.plan.restore.volumes.ways import PATIENCE, choose_ways


def choosing() -> World:
    """In place, at the moment at which the ways are chosen: the safety snapshot is taken."""
    world = World.with_running_vm()
    while (taken := world.restore.status.safety_snapshot) is None or taken.phase != "Taken":
        world.step()
    return world


def opening(world: World) -> World:
    """At the moment at which the pairs of both volumes were just made."""
    while len(world.pairs) < 2:
        decision = world.decide()
        world.save(decision.status)
        world.carry_out(decision.step)
    return world


def own(mode: Any) -> OwnSnapshot:
    """The point's own snapshot of a volume of that mode."""
    return OwnSnapshot(name="own", driver=DRIVER, restore_size_bytes=2 * GIB, mode=mode)


def safety(mode: Any) -> Any:
    """The replaced volume of that mode in the safety snapshot."""
    return snapshot_handle("root").model_copy(update={"source_volume_mode": mode})


@pytest.mark.parametrize(
    ("record", "ways", "path", "words"),
    [
        ({"mode": "Block"}, {"own": own("Block")}, "Snapshot", ""),
        ({"mode": "Filesystem"}, {"own": own("Filesystem")}, "Snapshot", ""),
        ({"mode": "Filesystem"}, {"safety": safety("Filesystem")}, "Delta", "own snapshot is not kept"),
        ({"mode": "Filesystem"}, {"safety": safety(None)}, "Delta", "own snapshot is not kept"),
        (
            {"mode": "Filesystem"},
            {"own": own("Block"), "safety": safety("Filesystem")},
            "Delta",
            "is of a Block volume",
        ),
        ({"mode": "Filesystem"}, {"own": own("Block"), "safety": safety("Block")}, "Full", "the new one is Filesystem"),
        ({"mode": "Filesystem", "role": "State"}, {"safety": safety("Filesystem")}, "Full", "TPM and EFI state"),
        ({"mode": "Block", "capacity_bytes": GIB}, {"own": own("Block")}, "Full", "the new volume has 1073741824"),
    ],
)
def test_a_volume_is_made_from_what_is_like_it(
    record: dict[str, Any], ways: dict[str, Any], path: str, words: str
) -> None:
    """A snapshot is used where driver, mode and size fit, for disks of both modes; the obstacle is told."""
    look = choosing().look()
    records = [look.status.volumes[0].model_copy(update=record)]
    restore = look.restore.model_copy(update={"status": look.status.model_copy(update={"volumes": records})})
    seen = replace(look.seen, ways={records[0].name: Ways(driver=DRIVER, **ways)})
    decision = choose_ways(replace(look, restore=restore, seen=seen))
    assert decision is not None
    (chosen,) = decision.status.volumes
    assert chosen.path == path
    assert words in (chosen.path_reason or "")


def test_a_driver_that_never_answers_is_not_waited_for() -> None:
    """A pair that does not come to be readable, also without an error, costs its patience; and nothing of it stays."""
    world = opening(choosing())
    world.driver_answers = False
    made = world.now
    while world.restore.status.volumes[0].path == "Delta":
        world.step()
        world.now += PATIENCE / 10
        assert world.now - made < 2 * PATIENCE
    assert world.now - made > PATIENCE
    assert "did not answer in time" in (world.restore.status.volumes[0].path_reason or "")
    world.run()
    assert_restored_in_place(world)


def test_an_error_of_the_first_moment_costs_nothing() -> None:
    """The patience begins with the pair, not with the restore, whose VM may have taken long to stop."""
    world = choosing()
    world.now += 3 * PATIENCE
    world = opening(world)
    look = world.look()
    name = look.status.volumes[0].name
    waiting = replace(look.seen.ways[name], pair_ready=False, pair_error="VolumeSnapshotContent is missing")
    for after, fetched in ((timedelta(seconds=1), False), (PATIENCE * 2, True)):
        later = replace(look, now=look.now + after, seen=replace(look.seen, ways={**look.seen.ways, name: waiting}))
        decision = next_step(later)
        assert (decision.status.volumes[0].path == "Full") == fetched
        assert "VolumeSnapshotContent is missing" in decision.status.conditions[0].message


def test_half_a_pair_is_made_whole() -> None:
    """Killed between its two objects, the first alone is no pair to wait for."""
    world = opening(choosing())
    look = world.look()
    name = look.status.volumes[0].name
    half = replace(look.seen.ways[name], pair_ready=False, pair_since=None)
    decision = next_step(replace(look, seen=replace(look.seen, ways={**look.seen.ways, name: half})))
    assert isinstance(decision.step, steps.MakePair)
