"""What a backup's plan must not do: keep others from their slots, spoil a cut, forget in the wrong repository."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.objects import RULES, START, new_backup, target
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.plan.backup import steps
from safehold.plan.backup.facts import BackupFacts, Leftovers
from safehold.plan.backup.reconcile import needs_slot, next_step
from safehold.plan.backup.run import Decision
from safehold.plan.conditions import READY, STALLED, is_true
from safehold.plan.job import JobFacts, PodFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.run import Progress, RunReport

NOT_READY = Refusal(Reason.TARGET_NOT_READY, "not checked yet")


def decide(backup: VMBackup, facts: BackupFacts, later: timedelta = timedelta()) -> Decision:
    """One decision."""
    return next_step(backup, facts, RULES, START + later)


def with_status(backup: VMBackup, decision: Decision) -> VMBackup:
    """The backup once the decision's status was applied."""
    return backup.model_copy(update={"status": decision.status})


def advance(world: World, phase: str) -> None:
    """Until the run has come into this phase."""
    for _ in range(40):
        if world.backup.status.phase == phase:
            return
        decision = next_step(world.backup, world.facts(), RULES, world.now)
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
        if decision.again:
            world.look()
    pytest.fail(f"a backup never comes into phase {phase}")


def forgetting() -> tuple[VMBackup, BackupFacts]:
    """A completed backup with deletionPolicy Delete, which a person has deleted."""
    world = World(new_backup())
    advance(world, "Completed")
    backup = world.backup.model_copy(
        update={
            "spec": world.backup.spec.model_copy(update={"deletion_policy": "Delete"}),
            "metadata": world.backup.metadata.model_copy(update={"deletion_timestamp": world.now}),
        }
    )
    facts = BackupFacts(namespace_uid="ns-uid", namespace_ending=False, target=target())
    return backup, facts


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
    world = World(new_backup())
    advance(world, "Snapshotting")
    world.take_snapshot()
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    failed = replace(snapshot, failure="snapshot deadline exceeded")
    facts = replace(world.facts(), snapshot=failed, machine=replace(world.machine(), frozen=True))
    status = decide(world.backup, facts, timedelta(minutes=2)).status
    assert status.failure is not None
    assert status.failure.reason == Reason.SNAPSHOT_FAILED


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


CHANGED_TARGETS: list[tuple[dict[str, Any], Reason]] = [
    ({"access_mode": "ReadOnly"}, Reason.TARGET_READ_ONLY),
    ({"repository_id": "another"}, Reason.REPOSITORY_CHANGED),
]


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


def test_what_holds_the_clean_up_is_named() -> None:
    """A pod on a node that is away is waited for by its name, so that somebody can remove it."""
    world = World(new_backup())
    advance(world, "CleaningUp")
    facts = replace(world.facts(), leftovers=Leftovers(pods=(PodFacts(name="worker-x7k2p"),)))
    status = decide(world.backup, facts).status
    assert status.phase == "CleaningUp"
    assert "still there: Pod worker-x7k2p" in status.conditions[0].message


def test_a_lost_node_ends_the_run_and_gives_its_slot_back() -> None:
    """The run fails with the node's name; its clean-up waits for the node, but other backups do not."""
    world = World(new_backup())
    advance(world, "Transferring")
    pod = PodFacts(name="worker-1", node="node-7", due_gone=START - timedelta(minutes=6))
    status = decide(world.backup, replace(world.facts(), job=JobFacts(name="job", uid="j", pods=(pod,)))).status
    assert status.failure is not None
    assert status.failure.reason == Reason.NODE_LOST
    backup = world.backup.model_copy(update={"status": status})
    facts = replace(world.facts(), leftovers=Leftovers(pods=(pod,)))
    assert "node node-7 does not answer" in decide(backup, facts).status.conditions[0].message
    assert not needs_slot(backup, facts, START)
    assert needs_slot(backup, replace(facts, leftovers=Leftovers(pods=(replace(pod, due_gone=START),))), START)


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


def test_forgetting_goes_on_until_the_worker_reports() -> None:
    """The Job that forgets is followed, not taken for a leftover of the run; then the object may go."""
    backup, facts = forgetting()
    started = decide(backup, facts)
    assert [type(step) for step in started.steps] == [steps.StartForget]
    backup = with_status(backup, started)
    leftovers = Leftovers(jobs=("forget",))
    waiting = decide(backup, replace(facts, forget=JobFacts(name="forget", uid="f"), leftovers=leftovers))
    assert (waiting.steps, waiting.status.phase) == ((), "Forgetting")
    report = RunReport(run_id="backup-uid", verb="forget", succeeded=True, reason="Succeeded", message="")
    job = JobFacts(name="forget", uid="f", outcome="Complete", termination_message=report.model_dump_json())
    assert decide(with_status(backup, waiting), replace(facts, forget=job, leftovers=leftovers)).released


@pytest.mark.parametrize(("change", "reason"), CHANGED_TARGETS)
def test_nothing_is_forgotten_in_a_target_that_forbids_it(change: dict[str, Any], reason: Reason) -> None:
    """Neither in a ReadOnly target nor in another repository; the condition says why the object stays."""
    backup, facts = forgetting()
    decision = decide(backup, replace(facts, target=replace(target(), **change)))
    assert (decision.steps, decision.released) == ((), False)
    assert is_true(decision.status.conditions, STALLED)
    assert not is_true(decision.status.conditions, READY)
    assert decision.status.conditions[0].reason == reason
