"""Which runs count as having their guest between freeze and thaw."""

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.backup.course import advance, decide
from tests.plan.backup.objects import new_backup
from tests.plan.backup.world import World

from safehold.plan.backup import steps
from safehold.plan.backup.facts import BackupFacts, MachineFacts
from safehold.plan.backup.freezing import freeze_claim


def before() -> World:
    """A run that is about to take its snapshot."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    return world


def running(world: World, **changes: Any) -> MachineFacts:
    """The VM, which runs."""
    return replace(world.machine(), running=True, **changes)


def seen(world: World, **machine: Any) -> BackupFacts:
    """What is observed of a VM that runs."""
    return replace(world.facts(), machine=running(world, **machine))


@pytest.mark.parametrize(
    ("machine", "claim"),
    [
        ({}, "Wanted"),
        ({"running": False}, "None"),
        ({"snapshot_in_progress": "nightly"}, "None"),
        ({"migrating": True}, "None"),
        ({"frozen": True}, "Held"),
    ],
)
def test_before_the_snapshot_a_running_vm_wants_to_freeze(machine: dict[str, Any], claim: str) -> None:
    """One that is stopped, or waits for something else, keeps no other VM from its freeze."""
    world = before()
    assert freeze_claim(world.backup, replace(world.facts(), machine=replace(running(world), **machine))) == claim


@pytest.mark.parametrize(
    ("snapshot", "machine", "claim"),
    [
        ({"succeeded": False, "ready": False}, {}, "Held"),
        ({"succeeded": False, "ready": False}, {"running": False}, "None"),
        ({"succeeded": True, "ready": False}, {}, "None"),
        ({"succeeded": True, "ready": False}, {"frozen": True}, "Held"),
        ({"succeeded": False, "ready": False, "failure": "deadline"}, {}, "None"),
        ({"succeeded": False, "ready": False, "failure": "deadline"}, {"frozen": True}, "Held"),
    ],
)
def test_a_run_holds_its_freeze_until_the_cut_or_the_thaw(
    snapshot: dict[str, Any], machine: dict[str, Any], claim: str
) -> None:
    """Told from KubeVirt's objects alone, so that a restarted controller knows it as well."""
    world = before()
    world.take_snapshot()
    world.snapshot, world.frozen = 2, False
    taken = world.snapshot_facts()
    assert taken is not None
    facts = replace(world.facts(), snapshot=replace(taken, **snapshot), machine=replace(running(world), **machine))
    assert freeze_claim(world.backup, facts) == claim


def test_a_guest_that_is_still_frozen_when_the_run_ends_counts() -> None:
    """The slot is free once it is thawed, not once the run has failed."""
    world = before()
    advance(world, "CleaningUp")
    assert freeze_claim(world.backup, seen(world, frozen=True)) == "Held"
    assert freeze_claim(world.backup, seen(world)) == "None"


def test_without_a_slot_no_snapshot_is_taken() -> None:
    """It waits in its phase, and says for what."""
    world = before()
    waiting = decide(world.backup, replace(seen(world), may_freeze=False))
    assert (waiting.steps, waiting.status.phase) == ((), "Snapshotting")
    assert "maxFrozenVMs" in waiting.status.conditions[0].message
    assert any(isinstance(step, steps.TakeSnapshot) for step in decide(world.backup, seen(world)).steps)
