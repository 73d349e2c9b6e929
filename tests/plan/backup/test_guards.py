"""What a backup's plan must not do: keep others from their slots, spoil a cut, trust what was swapped."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.course import advance, decide, with_status
from tests.plan.backup.fallback_world import demanding
from tests.plan.backup.objects import CHANGED_TARGETS, START, new_backup, target
from tests.plan.backup.world import World

from safehold.plan.backup import steps
from safehold.plan.backup.reconcile import needs_slot
from safehold.plan.job import JobFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.report import Progress

NOT_READY = Refusal(Reason.TARGET_NOT_READY, "not checked yet")


def test_a_disk_that_was_plugged_in_while_the_snapshot_was_taken_fails_the_run() -> None:
    """It passed the first look, so the judgement of the capture looks again."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret = 2, True
    facts = replace(world.facts(), machine=replace(world.machine(), unsaved_disks=("extra",)))
    failure = decide(world.backup, facts).status.failure
    assert failure is not None
    assert failure.reason == Reason.NOT_SNAPSHOTTABLE


@pytest.mark.parametrize("ready", [False, True])
def test_a_swapped_snapshot_fails_the_run_at_once(ready: bool) -> None:
    """One of somebody else's may never become ready, and waiting for it would only hide the attack."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret = 2, True
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    assert snapshot.capture is not None
    assert snapshot.capture.volumes[0].snapshot is not None
    forged = replace(snapshot.capture.volumes[0].snapshot, claim=None)
    volumes = (replace(snapshot.capture.volumes[0], snapshot=forged), *snapshot.capture.volumes[1:])
    swapped = replace(snapshot, ready=ready, capture=replace(snapshot.capture, volumes=volumes))
    failure = decide(world.backup, replace(world.facts(), snapshot=swapped)).status.failure
    assert failure is not None
    assert failure.reason == Reason.SNAPSHOT_NOT_TRUSTED
    assert "VolumeSnapshot vs-data" in failure.message


@pytest.mark.parametrize(("cut", "fails"), [(False, False), (True, True)])
def test_a_volume_snapshot_is_missed_only_once_it_was_there(cut: bool, fails: bool) -> None:
    """While KubeVirt makes them some are not there yet; later a missing one was deleted."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret = 2, True
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    assert snapshot.capture is not None
    volumes = (replace(snapshot.capture.volumes[0], snapshot=None), *snapshot.capture.volumes[1:])
    capture = replace(snapshot.capture, volumes=volumes)
    missing = replace(snapshot, ready=False, succeeded=cut, capture=capture)
    failure = decide(world.backup, replace(world.facts(), snapshot=missing)).status.failure
    assert (failure is not None) == fails
    assert failure is None or (failure.reason, "deleted" in failure.message) == (Reason.SNAPSHOT_NOT_TRUSTED, True)


def test_only_a_run_that_could_begin_asks_for_a_slot() -> None:
    """A backup that waits for its target, or is refused, leaves the slots to others; one that runs has its own."""
    world = World(new_backup())
    ready = world.facts()
    assert needs_slot(world.backup, ready, world.now)
    assert not needs_slot(world.backup, replace(ready, target=NOT_READY), world.now)
    assert not needs_slot(world.backup, replace(ready, machine=None), world.now)
    assert not needs_slot(world.backup, replace(ready, namespace_ending=True), world.now)
    advance(world, "Preparing")
    assert needs_slot(world.backup, replace(ready, target=NOT_READY), world.now)
    advance(world, "Completed")
    assert not needs_slot(world.backup, ready, world.now)


def test_a_snapshot_that_was_taken_late_is_not_thawed_early() -> None:
    """The time in which KubeVirt thaws counts from the snapshot, not from a start before the controller was away."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    late = replace(snapshot, created=START + timedelta(minutes=20))
    facts = replace(world.facts(), snapshot=late, machine=replace(world.machine(), frozen=True))
    decision = decide(world.backup, facts, timedelta(minutes=20, seconds=5))
    assert not any(isinstance(step, steps.Thaw) for step in decision.steps)


def test_a_guest_that_cannot_be_thawed_does_not_hold_the_run() -> None:
    """A frozen guest whose agent is dead is asked for minutes, then the run goes on with what it has."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret = 2, True
    facts = replace(world.facts(), machine=replace(world.machine(), frozen=True))
    assert decide(world.backup, facts, timedelta(minutes=3)).steps == (steps.Thaw(namespace="shop", vm="db"),)
    assert decide(world.backup, facts, timedelta(minutes=10)).status.phase == "Preparing"


def test_a_failed_snapshot_ends_the_run_though_the_guest_is_frozen() -> None:
    """The failure is recorded first; cleaning up thaws."""
    world = World(demanding(level="Filesystem"))
    advance(world, "Snapshotting")
    world.take_snapshot()
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    failed = replace(snapshot, failure="snapshot deadline exceeded")
    facts = replace(world.facts(), snapshot=failed, machine=replace(world.machine(), frozen=True))
    status = decide(world.backup, facts, timedelta(minutes=2)).status
    assert status.failure is not None
    assert status.failure.reason == Reason.SNAPSHOT_FAILED


@pytest.mark.parametrize("uid", [None, "made-anew"])
def test_a_disk_that_goes_before_the_worker_starts_fails_the_run(uid: str | None) -> None:
    """Its snapshot may still be there, but a point without the disk, or with another one's identity, is no point."""
    world = World(new_backup())
    advance(world, "Preparing")
    while not all(volume.clone for volume in world.volumes):
        decision = decide(world.backup, world.facts())
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
        world.look()
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    assert snapshot.capture is not None
    first, *rest = snapshot.capture.volumes
    assert first.claim is not None
    lost = replace(first, claim=replace(first.claim, uid=uid) if uid else None)
    facts = replace(snapshot, capture=replace(snapshot.capture, volumes=(lost, *rest)))
    decision = decide(world.backup, replace(world.facts(), snapshot=facts))
    failure = decision.status.failure
    assert failure is not None
    assert (failure.reason, "vm-data of volume data" in failure.message) == (Reason.SNAPSHOT_FAILED, True)
    assert not any(isinstance(step, steps.StartBackup) for step in decision.steps)


@pytest.mark.parametrize("fate", [None, {"uid": "another"}, {"migrating": True}, {"running": False}])
def test_what_becomes_of_the_vm_after_the_cut_does_not_matter(fate: dict[str, Any] | None) -> None:
    """Deleted, made anew, migrated or stopped: the worker reads what was cut, and it is the point."""
    world = World(new_backup())
    advance(world, "Preparing")
    for _ in range(20):
        machine = None if fate is None else replace(world.machine(), **fate)
        decision = decide(world.backup, replace(world.facts(), machine=machine))
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
        world.look()
    assert (world.backup.status.failure, world.backup.status.restore_point) == (None, "point-1")


@pytest.mark.parametrize("fate", [None, {"uid": "another"}, {"deleting": True}])
@pytest.mark.parametrize("asked", [False, True])
def test_a_vm_that_is_deleted_before_the_cut_has_no_point(fate: dict[str, Any] | None, asked: bool) -> None:
    """Also one that was made anew under its name meanwhile, and one that only our own snapshot still holds."""
    world = World(new_backup())
    advance(world, "Snapshotting")
    if asked:
        world.take_snapshot()
    machine = None if fate is None else replace(world.machine(), **fate)
    failure = decide(world.backup, replace(world.facts(), machine=machine)).status.failure
    assert failure is not None
    assert failure.reason == Reason.VM_NOT_FOUND


@pytest.mark.parametrize(("minutes", "fails"), [(31, False), (61, True)])
def test_a_worker_that_never_starts_ends_the_run(minutes: int, fails: bool) -> None:
    """A pod that no node takes is waited for as long as snapshot and volumes may need, and its sentence is told."""
    world = World(new_backup())
    advance(world, "Transferring")
    job = JobFacts(name="job", uid="j", waiting_for="0/3 nodes are available")
    status = decide(world.backup, replace(world.facts(), job=job), timedelta(minutes=minutes)).status
    assert (status.failure is not None) == fails
    assert "0/3 nodes are available" in status.conditions[0].message
    assert not status.failure or status.failure.reason == Reason.TIMED_OUT


@pytest.mark.parametrize(("change", "reason"), CHANGED_TARGETS)
def test_a_target_that_changed_meanwhile_gets_no_point(change: dict[str, Any], reason: Reason) -> None:
    """A target that became ReadOnly, or another repository, between begin and transfer fails the run."""
    world = World(new_backup())
    advance(world, "Preparing")
    for _ in range(20):
        decision = decide(world.backup, replace(world.facts(), target=replace(target(), **change)))
        assert not any(isinstance(step, steps.StartBackup) for step in decision.steps)
        if decision.status.failure:
            break
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
        world.look()
    assert decision.status.failure is not None
    assert decision.status.failure.reason == reason


def test_progress_stays_when_one_look_at_the_log_finds_none() -> None:
    """The message does not go back to waiting for a worker that has begun long ago."""
    world = World(new_backup())
    advance(world, "Transferring")
    progress = Progress(run_id="backup-uid", bytes_done=25, bytes_total=100)
    told = decide(world.backup, replace(world.facts(), job=JobFacts(name="job", uid="j", progress=progress)))
    backup = with_status(world.backup, told)
    again = decide(backup, replace(world.facts(), job=JobFacts(name="job", uid="j")))
    assert again.status == told.status


def test_volumes_that_no_node_reaches_together_fail_the_run() -> None:
    """The worker is not started; the volumes are named."""
    world = World(new_backup(), nodes={"data": "a", "logs": "b"})
    advance(world, "CleaningUp")
    failure = world.backup.status.failure
    assert failure is not None
    assert failure.reason == Reason.UNSCHEDULABLE
    assert world.job_started == 0
