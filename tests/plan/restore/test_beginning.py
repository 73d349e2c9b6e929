"""Before anything is replaced: the VM's readiness, the safety snapshot, and what new volumes are made from."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.restore.objects import NOW, OPERATOR, restore, safety_snapshot
from tests.plan.restore.test_flow import assert_restored_in_place, assert_untouched
from tests.plan.restore.world import World

from safehold.plan.conditions import is_true
from safehold.plan.restore import steps
from safehold.reasons import Reason


def with_policy(policy: str | None) -> World:
    """A restore in place with this readiness policy, of a VM that runs; its point is chosen."""
    wanted = restore().to_wire()
    if policy:
        wanted["spec"]["target"]["readinessPolicy"] = policy
    world = World.with_running_vm(type(restore()).model_validate(wanted))
    world.save(world.decide().status)
    return world


@pytest.mark.parametrize(
    ("policy", "minutes", "outcome"),
    [
        (None, 0, "stops"),
        ("StopTarget", 0, "stops"),
        ("FailImmediate", 0, "fails"),
        ("WaitGracePeriod", 4, "waits"),
        ("WaitGracePeriod", 6, "fails"),
        ("WaitEventually", 600, "waits"),
    ],
)
def test_a_running_vm_is_dealt_with_as_asked(policy: str | None, minutes: int, outcome: str) -> None:
    """KubeVirt's words mean what they mean there; without any the VM is stopped."""
    world = with_policy(policy)
    world.now = NOW + timedelta(minutes=minutes)
    decision = world.decide()
    reason = decision.status.conditions[0].reason
    assert (decision.status.vm is not None) == (outcome == "stops")
    assert (decision.status.failure is not None) == (outcome == "fails")
    assert isinstance(decision.step, steps.Wait) == (outcome == "waits")
    assert outcome == "stops" or reason == Reason.VM_RUNNING


@pytest.mark.parametrize("policy", ["FailImmediate", "WaitGracePeriod", "WaitEventually"])
def test_a_vm_that_was_stopped_for_the_restore_stays_stopped(policy: str) -> None:
    """It is left as whoever stopped it left it."""
    world = with_policy(policy)
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Halted", is_active=False, is_running=False)
    world.run()
    assert is_true(world.restore.status.conditions, "Ready")
    assert world.vm.run_strategy == "Halted"
    assert world.content_of("orders-root") == "restored"


def test_a_vm_that_must_not_be_stopped_and_is_started_fails_the_restore() -> None:
    """Somebody who starts the VM meanwhile is told, and keeps a VM on its own volumes."""
    world = with_policy("FailImmediate")
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Halted", is_active=False, is_running=False)
    while world.job is None:
        world.step()
    world.vm = replace(world.vm, run_strategy="Always", is_active=True, is_running=True)
    decision = world.decide()
    assert decision.status.failure is not None
    assert decision.status.failure.reason == Reason.VM_RUNNING
    world.save(decision.status)
    world.run()
    assert [world.content_of(f"orders-{name}") for name in ("root", "data")] == ["old", "old"]


def test_a_vm_that_somebody_starts_is_stopped_again_and_that_is_told() -> None:
    """Where it may be stopped, it is."""
    world = with_policy("StopTarget")
    while world.job is None:
        world.step()
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Always", is_active=True)
    decision = world.decide()
    assert decision.step == steps.SetRunStrategy("orders", "vm-uid", "Halted")
    assert "somebody started the VM" in decision.status.conditions[0].message
    world.run()
    assert_restored_in_place(world)


def stopped() -> World:
    """The moment before the safety snapshot."""
    world = World.with_running_vm()
    while not isinstance(world.decide().step, steps.TakeSafetySnapshot):
        world.step()
    return world


def test_the_safety_snapshot_is_taken_of_the_stopped_vm_before_anything_is_made() -> None:
    """It is recorded before it is created, and there before a claim is."""
    world = stopped()
    assert world.vm is not None
    assert not world.vm.is_active
    decision = world.decide()
    assert decision.status.safety_snapshot is not None
    assert decision.status.safety_snapshot.phase == "Taking"
    assert not [place for place in world.claims if place[0] == OPERATOR]
    world.run()
    assert world.restore.status.safety_snapshot is not None
    assert world.restore.status.safety_snapshot.phase == "Taken"
    assert_restored_in_place(world)


PROBLEMS: list[tuple[str, dict[str, Any], str]] = [
    ("failed", {"failure": "the agent said no"}, "the agent said no"),
    ("deleting", {"deleting": True}, "it was deleted"),
    ("unfinished", {"created": NOW - timedelta(minutes=20), "error": "driver is away"}, "driver is away"),
    ("gone", {}, "somebody deleted it"),
]


@pytest.mark.parametrize(("problem", "changes", "words"), PROBLEMS, ids=[row[0] for row in PROBLEMS])
def test_without_a_safety_snapshot_the_restore_goes_on(problem: str, changes: dict[str, Any], words: str) -> None:
    """Why there is none is in the status; the replaced volumes are kept all the same, and nothing of it is left."""
    world = stopped()
    decision = world.decide()
    world.save(decision.status)
    assert isinstance(decision.step, steps.TakeSafetySnapshot)
    world.safety = safety_snapshot(decision.step.name, world.now)
    world.save(world.decide().status)
    world.safety = None if problem == "gone" else replace(world.safety, **changes)
    decision = world.decide()
    world.save(decision.status)
    world.carry_out(decision.step)
    told = world.restore.status.safety_snapshot
    assert told is not None
    assert (told.phase, words in (told.message or "")) == ("Missing", True)
    world.safety = None
    world.run()
    assert_restored_in_place(world)
    assert {record.path for record in world.restore.status.volumes} == {"Full"}


def test_volumes_that_no_class_can_snapshot_are_told() -> None:
    """A snapshot without any volume is none."""
    world = World.with_running_vm()
    world.has_snapshot_class = False
    world.run()
    told = world.restore.status.safety_snapshot
    assert told is not None
    assert (told.phase, "VolumeSnapshotClass" in (told.message or "")) == ("Missing", True)
    assert world.safety is None
    assert_restored_in_place(world)


def test_no_safety_snapshot_where_none_is_wanted() -> None:
    """`safetySnapshot: false` leaves it out."""
    world = World.with_running_vm(restore(safetySnapshot=False))
    world.run()
    assert (world.safety, world.restore.status.safety_snapshot) == (None, None)
    assert_restored_in_place(world)


def test_a_restore_that_fails_takes_its_snapshot_and_pairs_back() -> None:
    """Nothing of it is needed when the VM never lost a volume."""
    world = World.with_running_vm()
    world.job_result, world.report_reason = "Failed", "Damaged"
    world.run()
    assert world.safety is None
    assert_untouched(world)


@settings(max_examples=60)
@given(looks=st.integers(0, 45), own=st.sampled_from([frozenset(), frozenset({"root"}), frozenset({"root", "data"})]))
def test_volumes_are_made_from_the_best_that_there_is(looks: int, own: frozenset[str]) -> None:
    """The point's own snapshot, else the safety snapshot; with the reason; and killed anywhere nothing is left."""
    world = World.with_running_vm()
    world.own_snapshots = own
    for _ in range(looks):
        decision = world.decide()
        if isinstance(decision.step, steps.Finished):
            break
        world.save(decision.status)
        world.others()
        if world.decide().step == decision.step:
            world.carry_out(decision.step)
    world.run()
    assert_restored_in_place(world)
    for record in world.restore.status.volumes:
        assert record.path == ("Snapshot" if record.name in own else "Delta")
        assert (record.path_reason is None) == (record.name in own)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (World(restore("NewVM")), "no older copy"),
        (World.with_running_vm(restore(safetySnapshot=False)), "no safety snapshot"),
    ],
    ids=["new VM", "no snapshot"],
)
def test_all_is_fetched_where_there_is_nothing_to_begin_with(world: World, words: str) -> None:
    """Full, with every obstacle of the quicker ways in one sentence."""
    world.run()
    for record in world.restore.status.volumes:
        assert record.path == "Full"
        assert "the point's own snapshot is not kept" in (record.path_reason or "")
        assert words in (record.path_reason or "")


def test_a_volume_that_cannot_be_made_from_a_snapshot_is_fetched() -> None:
    """A claim that stays unbound is replaced by an empty one, its worker too, and the status says why."""
    world = World.with_running_vm()
    world.own_snapshots = frozenset({"root", "data"})
    world.start_worker()
    prime = world.restore.status.volumes[0].prime_claim
    world.claims[OPERATOR, prime] = replace(world.claims[OPERATOR, prime], phase="Pending", volume=None)
    world.now += timedelta(minutes=6)
    world.run()
    first, second = world.restore.status.volumes
    assert (first.path, first.source_snapshot) == ("Full", None)
    assert "in time" in (first.path_reason or "")
    assert second.path == "Snapshot"
    assert_restored_in_place(world)
