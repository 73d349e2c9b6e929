"""What a backup demands of its capture, what it waits for before, and what becomes of a capture that is weaker."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.course import advance, decide, with_status
from tests.plan.backup.fallback_world import demanding
from tests.plan.backup.objects import RULES
from tests.plan.backup.world import World

from safehold.plan.backup import steps
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.conditions import CONSISTENT
from safehold.reasons import Reason


def begun(**consistency: str) -> World:
    """A run that is about to take its snapshot."""
    world = World(demanding(**consistency))
    advance(world, "Snapshotting")
    return world


def captured(world: World, *indications: str) -> dict[str, Any]:
    """Status after KubeVirt's snapshot with these indications could be read: reached, condition, failure."""
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    status = decide(world.backup, replace(world.facts(), snapshot=replace(snapshot, indications=indications))).status
    told = next((found for found in status.conditions if found.type == CONSISTENT), None)
    return {
        "phase": status.phase,
        "reached": status.consistency and status.consistency.reached,
        "told": told and (told.status, told.reason),
        "failure": status.failure and status.failure.reason,
    }


UNMET = ("False", Reason.CONSISTENCY_NOT_REACHED)
MET = ("True", Reason.SUCCEEDED)


@pytest.mark.parametrize(
    ("demand", "reached", "phase", "told"),
    [
        ({}, ("NoGuestAgent", "Online"), "Preparing", MET),
        ({"level": "Filesystem", "onFailure": "Fallback"}, ("NoGuestAgent", "Online"), "Preparing", UNMET),
        ({"level": "Filesystem", "onFailure": "Fallback"}, ("GuestAgent", "Online"), "Preparing", MET),
        ({"level": "Filesystem", "onFailure": "Fallback"}, (), "Preparing", MET),
        ({"level": "Filesystem", "onFailure": "Fail"}, ("NoGuestAgent", "Online"), "CleaningUp", None),
        ({"level": "Filesystem"}, ("GuestAgent", "Online", "QuiesceTimeout"), "CleaningUp", None),
        ({"level": "Crash", "onFailure": "Fail"}, ("Online", "Paused"), "Preparing", MET),
    ],
)
def test_a_weaker_capture_is_kept_or_refused_as_asked(
    demand: dict[str, str], reached: tuple[str, ...], phase: str, told: tuple[str, str] | None
) -> None:
    """Fallback keeps it and says so in a condition; Fail, and a level above Crash alone, keep nothing."""
    found = captured(begun(**demand), *reached)
    assert (found["phase"], found["told"]) == (phase, told)
    assert found["failure"] == (Reason.CONSISTENCY_NOT_REACHED if phase == "CleaningUp" else None)


@pytest.mark.parametrize("demand", [{}, {"level": "Filesystem"}, {"level": "Filesystem", "onFailure": "Fallback"}])
@pytest.mark.parametrize("indications", [("GuestAgent", "Online", "PartialSnapshot"), ("NoGuestAgent", "Online")])
def test_a_snapshot_without_one_of_the_disks_is_never_a_point(
    demand: dict[str, str], indications: tuple[str, ...]
) -> None:
    """Whatever is demanded and whatever KubeVirt indicates; the disk is named, and what to do."""
    world = begun(**demand)
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    assert snapshot.capture is not None
    capture = replace(snapshot.capture, volumes=snapshot.capture.volumes[1:])
    partial = replace(snapshot, indications=indications, capture=capture)
    failure = decide(world.backup, replace(world.facts(), snapshot=partial)).status.failure
    assert failure is not None
    assert failure.reason == Reason.SNAPSHOT_FAILED
    assert all(word in failure.message for word in ("left out data", "PartialSnapshot", "VolumeSnapshotClass"))


def test_a_snapshot_that_left_out_no_disk_is_whole() -> None:
    """KubeVirt indicates PartialSnapshot also for a copy of the memory that cannot be snapshotted."""
    found = captured(begun(level="Filesystem"), "GuestAgent", "Online", "PartialSnapshot")
    assert (found["phase"], found["reached"], found["failure"]) == ("Preparing", "Filesystem", None)


def test_the_freeze_timeout_is_kubevirts_deadline() -> None:
    """KubeVirt itself thaws the guest at the end of it, also when no controller is there."""
    taken = decide((world := begun(freezeTimeout="1m30s")).backup, world.facts()).steps
    assert [step.deadline_seconds for step in taken if isinstance(step, steps.TakeSnapshot)] == [90]


OBSTACLES: list[tuple[Callable[[MachineFacts], MachineFacts], str]] = [
    (lambda machine: replace(machine, snapshot_in_progress="nightly"), "VirtualMachineSnapshot nightly"),
    (lambda machine: replace(machine, migrating=True), "live migration"),
]


@pytest.mark.parametrize(("hinder", "said"), OBSTACLES)
def test_what_would_use_up_kubevirts_time_is_waited_for(
    hinder: Callable[[MachineFacts], MachineFacts], said: str
) -> None:
    """The deadline counts from the snapshot's creation, so it is not created yet; and not waited for ever."""
    world = begun()
    facts = replace(world.facts(), machine=hinder(world.machine()))
    waiting = decide(world.backup, facts)
    assert (waiting.steps, waiting.again) == ((), RULES.poll_seconds)
    assert said in waiting.status.conditions[0].message
    assert any(isinstance(step, steps.TakeSnapshot) for step in decide(world.backup, world.facts()).steps)
    late = decide(world.backup, facts, RULES.prepare_timeout + timedelta(seconds=1)).status
    assert late.failure is not None
    assert (late.failure.reason, said in late.failure.message) == (Reason.TIMED_OUT, True)


def test_a_guest_that_safehold_had_to_thaw_is_crash_consistent() -> None:
    """KubeVirt says that its freeze held, but forgot the guest: the thaw is recorded, and the level is the lower."""
    world = begun()
    world.take_snapshot()
    world.snapshot, world.machine_secret = 2, True
    frozen = replace(world.facts(), machine=replace(world.machine(), frozen=True))
    thawing = decide(world.backup, frozen, timedelta(seconds=72))
    assert thawing.steps == (steps.Thaw(namespace="shop", vm="db"),)
    thawed, world.frozen = with_status(world.backup, thawing), False
    judged = decide(thawed, world.facts(), timedelta(seconds=80)).status.consistency
    assert judged is not None
    assert (judged.reached, judged.frozen_millis) == ("Crash", None)
    assert "left the guest frozen" in judged.reason
