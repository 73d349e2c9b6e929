"""Every step and every refusal of a backup's plan, one look at a time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.objects import RULES, START, new_backup, target
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.plan.backup import steps
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.facts import BackupFacts, DiskFacts
from safehold.plan.backup.reconcile import next_step
from safehold.plan.backup.run import Decision
from safehold.plan.conditions import READY, STALLED, is_true
from safehold.plan.job import JobFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.report import Progress, RunReport, VolumeReport


def decide(world: World, facts: BackupFacts, later: timedelta = timedelta()) -> Decision:
    """One decision."""
    return next_step(world.backup, facts, RULES, world.now + later)


def at(phase: str) -> World:
    """A world whose backup has just come into this phase."""
    world = World(new_backup())
    for _ in range(40):
        if world.backup.status.phase == phase:
            return world
        decision = decide(world, world.facts())
        world.backup = world.backup.model_copy(update={"status": decision.status})
        for step in decision.steps:
            world.carry_out(step)
        if decision.again:
            world.look()
    raise AssertionError(f"a backup never comes into phase {phase}")


def demanding(world: World, level: str) -> VMBackup:
    """The same backup, with another consistency level."""
    spec = world.backup.spec
    wanted = spec.model_copy(update={"consistency": spec.consistency.model_copy(update={"level": level})})
    return world.backup.model_copy(update={"spec": wanted})


def report(**changes: Any) -> str:
    """A worker's termination message for this backup."""
    volumes = [VolumeReport(name=name, bytes_total=1) for name in ("data", "logs")]
    good = RunReport(
        run_id="backup-uid",
        verb="backup",
        succeeded=True,
        reason="Succeeded",
        message="",
        restore_point="p",
        volumes=volumes,
    )
    return good.model_copy(update=changes).model_dump_json()


DISKS_AND_WHAT_IS_SAID = [
    ((), "no volume that outlives it"),
    ((DiskFacts(name="data", claim="c", snapshottable=False, reason="no VolumeSnapshotClass"),), "data: no Volume"),
    ((DiskFacts(name="host", claim=None, snapshottable=False, reason="a hostDisk"),), "host: a hostDisk"),
]


@pytest.mark.parametrize(("disks", "said"), DISKS_AND_WHAT_IS_SAID)
def test_a_vm_that_cannot_be_captured_whole_is_refused(disks: tuple[DiskFacts, ...], said: str) -> None:
    """A VM without volumes, or with one that cannot be snapshotted, fails with the volume's name, before any step."""
    world = World(new_backup())
    facts = replace(world.facts(), machine=replace(world.machine(), disks=disks))
    decision = decide(world, facts)
    assert decision.steps == ()
    assert decision.status.failure is not None
    assert decision.status.failure.reason == Reason.NOT_SNAPSHOTTABLE
    assert said in decision.status.failure.message


def test_persistent_state_without_its_claim_is_refused_before_a_guest_is_frozen() -> None:
    """A VM that runs with TPM or EFI state is not backed up without it; the sentence says what it is about."""
    world = World(new_backup())
    machine = replace(world.machine(), own_state=("TPM", "EFI"), running=True)
    decision = decide(world, replace(world.facts(), machine=machine))
    assert decision.steps == ()
    failure = decision.status.failure
    assert failure is not None
    assert failure.reason == Reason.NOT_SNAPSHOTTABLE
    assert "persistent TPM and EFI state" in failure.message


def test_a_disk_that_only_the_instance_has_is_not_left_out() -> None:
    """KubeVirt would skip it without a word; the refusal names it and what to do, before any step."""
    world = World(new_backup())
    unsaved = replace(world.machine(), unsaved_disks=("scratch", "extra"))
    decision = decide(world, replace(world.facts(), machine=unsaved))
    assert decision.steps == ()
    failure = decision.status.failure
    assert failure is not None
    assert failure.reason == Reason.NOT_SNAPSHOTTABLE
    assert "has volume scratch, extra" in failure.message
    assert "--persist" in failure.message


REFUSALS = [
    ({"target": Refusal(Reason.TARGET_NOT_FOUND, "no such target")}, Reason.TARGET_NOT_FOUND),
    ({"target": Refusal(Reason.TARGET_NOT_ALLOWED, "not yours")}, Reason.TARGET_NOT_ALLOWED),
    ({"target": Refusal(Reason.ENDPOINT_NOT_ALLOWED, "loopback")}, Reason.ENDPOINT_NOT_ALLOWED),
    ({"target": replace(target(), access_mode="ReadOnly")}, Reason.TARGET_READ_ONLY),
    ({"secrets": Refusal(Reason.SECRET_NOT_FOUND, "no such Secret")}, Reason.SECRET_NOT_FOUND),
    ({"machine": None}, Reason.VM_NOT_FOUND),
    ({"machine": replace(World(new_backup()).machine(), deleting=True)}, Reason.VM_NOT_FOUND),
    ({"namespace_ending": True}, Reason.CANCELLED),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSALS, ids=[reason.value for _, reason in REFUSALS])
def test_what_is_wrong_is_said_before_anything_is_made(changes: dict[str, Any], reason: Reason) -> None:
    """Each refusal fails the run with its reason, and makes nothing."""
    world = World(new_backup())
    decision = decide(world, replace(world.facts(), **changes))
    assert decision.steps == ()
    assert decision.status.start_time is None
    assert decision.status.failure is not None
    assert decision.status.failure.reason == reason


def test_a_refused_backup_ends_failed() -> None:
    """A failure before the start ends the run at once: Stalled, phase Failed, with the reason."""
    world = World(new_backup())
    refused = decide(world, replace(world.facts(), machine=None))
    world.backup = world.backup.model_copy(update={"status": refused.status})
    ended = decide(world, world.facts()).status
    assert ended.phase == "Failed"
    assert ended.completion_time == START
    assert is_true(ended.conditions, STALLED)
    assert not is_true(ended.conditions, READY)


PASSING = [
    {"target": Refusal(Reason.TARGET_NOT_READY, "not checked yet")},
    {"machine": replace(World(new_backup()).machine(), disks=(DiskFacts(name="d", claim="c", snapshottable=None),))},
]


@pytest.mark.parametrize("changes", PASSING, ids=["target", "KubeVirt"])
def test_what_may_pass_is_waited_for_but_not_for_ever(changes: dict[str, Any]) -> None:
    """A target that is not ready and a VM that KubeVirt has not looked at are waited for until the prepare timeout.

    It counts from the first look: the run may have waited for its turn for hours before.
    """
    world = World(new_backup())
    facts, hours = replace(world.facts(), **changes), timedelta(hours=3)
    waiting = decide(world, facts, hours)
    assert waiting.status.failure is None
    assert waiting.again
    world.backup = world.backup.model_copy(update={"status": waiting.status})
    assert decide(world, facts, hours + RULES.prepare_timeout - timedelta(seconds=1)).status.failure is None
    assert decide(world, facts, hours + RULES.prepare_timeout).status.failure is not None
    queued = decide(world, replace(world.facts(), slot=False), hours + timedelta(minutes=29)).status
    world.backup = world.backup.model_copy(update={"status": queued})
    assert decide(world, facts, hours + timedelta(minutes=59)).status.failure is None


def test_without_a_slot_a_backup_waits_for_a_call() -> None:
    """At the limit of active runs nothing is started, and nothing is polled."""
    world = World(new_backup())
    decision = decide(world, replace(world.facts(), slot=False))
    assert (decision.status.phase, decision.steps, decision.again) == ("Pending", (), None)
    assert decision.status.start_time is None


def test_a_run_records_the_node_of_its_guest() -> None:
    """A restarted controller counts by it."""
    world = World(new_backup())
    machine = world.facts().machine
    assert machine is not None
    decision = decide(world, replace(world.facts(), machine=replace(machine, node="node-1")))
    assert decision.status.node_name == "node-1"


def test_the_manifest_is_read_right_before_the_cut() -> None:
    """The snapshot is taken with KubeVirt's deadline, after the VM's manifest was read."""
    world = at("Snapshotting")
    label, first, second = decide(world, world.facts()).steps
    assert label == steps.LabelBackup(namespace="shop", name="db-1", labels={"safehold.dev/vm": "db"})
    assert isinstance(first, steps.CaptureMachine)
    assert isinstance(second, steps.TakeSnapshot)
    assert second.deadline_seconds == 60


BAD_SNAPSHOTS = [
    ({"failure": "snapshot deadline exceeded"}, Reason.SNAPSHOT_FAILED, "deadline exceeded"),
    ({"deleting": True}, Reason.SNAPSHOT_FAILED, "deleted"),
    ({"vm": "other"}, Reason.SNAPSHOT_NOT_TRUSTED, "not the run's own"),
    ({"created": START - timedelta(hours=1)}, Reason.SNAPSHOT_NOT_TRUSTED, "older"),
]


@pytest.mark.parametrize(("changes", "reason", "said"), BAD_SNAPSHOTS)
def test_a_bad_snapshot_fails_the_run(changes: dict[str, Any], reason: Reason, said: str) -> None:
    """A snapshot that failed, goes, or is not the run's own is never read."""
    world = at("Snapshotting")
    world.backup = demanding(world, "Filesystem")
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    decision = decide(world, replace(world.facts(), snapshot=replace(snapshot, **changes)))
    assert decision.steps == ()
    assert decision.status.failure is not None
    assert decision.status.failure.reason == reason
    assert said in decision.status.failure.message


def test_a_snapshot_that_succeeded_but_cannot_be_read_yet_is_waited_for() -> None:
    """The phase Succeeded is not enough: readyToUse decides, up to the prepare timeout."""
    world = at("Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    snapshot = world.snapshot_facts()
    assert isinstance(snapshot, SnapshotFacts)
    facts = replace(world.facts(), snapshot=replace(snapshot, ready=False, capture=None, error="still uploading"))
    assert "still uploading" in decide(world, facts).status.conditions[0].message
    late = decide(world, facts, RULES.prepare_timeout + timedelta(seconds=10)).status
    assert late.failure is not None
    assert late.failure.reason == Reason.TIMED_OUT


@pytest.mark.parametrize(("level", "fails"), [("Crash", False), ("Filesystem", True)])
def test_a_capture_below_the_demand_fails_before_a_byte_is_moved(level: str, fails: bool) -> None:
    """Without an agent a capture is Crash-consistent: enough for Crash, a failure for Filesystem."""
    world = at("Snapshotting")
    world.backup = demanding(world, level)
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    facts = replace(world.facts(), snapshot=replace(snapshot, indications=("NoGuestAgent", "Online")))
    status = decide(world, facts).status
    assert status.consistency is not None
    assert status.consistency.reached == "Crash"
    assert (status.failure is not None) == fails
    assert not status.failure or status.failure.reason == Reason.CONSISTENCY_NOT_REACHED


def test_a_guest_that_kubevirt_forgot_is_thawed() -> None:
    """Ten seconds after the deadline a guest that is still frozen is thawed, before anything else."""
    world = at("Snapshotting")
    world.take_snapshot()
    facts = replace(world.facts(), machine=replace(world.machine(), frozen=True))
    assert not any(isinstance(step, steps.Thaw) for step in decide(world, facts).steps)
    late = decide(world, facts, timedelta(seconds=72))
    assert late.steps == (steps.Thaw(namespace="shop", vm="db"),)


def test_a_manifest_that_no_secret_can_hold_fails_with_its_size() -> None:
    """More than a Secret carries is refused with the number, not cut."""
    world = at("Snapshotting")
    world.take_snapshot()
    world.snapshot, world.machine_secret, world.frozen = 2, True, False
    status = decide(world, replace(world.facts(), machine_bytes=1_200_000)).status
    assert status.failure is not None
    assert "1200000 bytes" in status.failure.message


REPORTS = [
    ("", Reason.JOB_FAILED),
    ("panic: no JSON", Reason.JOB_FAILED),
    (report(run_id="another"), Reason.REPORT_REJECTED),
    (report(verb="forget"), Reason.REPORT_REJECTED),
    (report(volumes=[VolumeReport(name="data", bytes_total=1)]), Reason.REPORT_REJECTED),
    (report(restore_point=None), Reason.REPORT_REJECTED),
    (report(succeeded=False, reason="AccessDenied", message="no"), Reason.ACCESS_DENIED),
    (report(succeeded=False, reason="OwnWords", message="no"), Reason.JOB_FAILED),
    (report(succeeded=False, reason="Succeeded", message="no"), Reason.JOB_FAILED),
]


@pytest.mark.parametrize(("message", "reason"), REPORTS)
def test_a_report_is_believed_only_for_what_was_asked(message: str, reason: Reason) -> None:
    """Reports of other runs, verbs or volumes, without a point, or that say failure, never make a restore point."""
    world = at("Transferring")
    job = JobFacts(name="job", uid="j", outcome="Complete", termination_message=message)
    status = decide(world, replace(world.facts(), job=job)).status
    assert status.restore_point is None
    assert status.failure is not None
    assert status.failure.reason == reason


def test_progress_shows_percent_and_the_time_left() -> None:
    """The worker's last line becomes progress, with an estimate from the speed since its transfer began."""
    world = at("Transferring")
    told = Progress(run_id="backup-uid", bytes_done=25, bytes_total=100, seconds=10)
    job = JobFacts(name="job", uid="j", progress=told)
    captured = world.backup.status.capture_time
    assert captured is not None
    decision = next_step(world.backup, replace(world.facts(), job=job), RULES, captured + timedelta(minutes=9))
    progress = decision.status.progress
    assert progress is not None
    assert (progress.percent, progress.eta_seconds) == (25, 30)
    assert decision.status.summary is not None
    assert decision.status.summary.progress == "25%, 30s left"


def test_a_worker_that_kueue_has_not_admitted_is_waited_for() -> None:
    """However long: whose quota is used up decides the cluster's administrator. What is said names the queue."""
    world = at("Transferring")
    job = JobFacts(name="job", uid="j", queue="nightly")
    decision = decide(world, replace(world.facts(), job=job), timedelta(days=2))
    assert decision.status.failure is None
    assert decision.again
    assert "queue nightly" in decision.status.conditions[0].message


def test_a_secret_that_its_job_does_not_own_is_adopted() -> None:
    """After a death between Job and adoption the Secret gets its owner."""
    world = at("Transferring")
    job = JobFacts(name="job", uid="j", secret_owned=False)
    assert decide(world, replace(world.facts(), job=job)).steps == (steps.AdoptSecret(job="job", job_uid="j"),)
