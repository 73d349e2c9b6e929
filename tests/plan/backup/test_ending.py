"""How a run ends: nothing is left, nobody is held up, and a deletion forgets what it should."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.course import advance, decide, with_status
from tests.plan.backup.objects import CHANGED_TARGETS, RULES, START, new_backup, target
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.plan.backup import steps
from safehold.plan.backup.facts import BackupFacts, Leftovers, VMSnapshotRef
from safehold.plan.backup.reconcile import needs_slot, next_step
from safehold.plan.conditions import READY, STALLED, is_true
from safehold.plan.job import JobFacts, PodFacts
from safehold.reasons import Reason
from safehold.report import RunReport


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


def test_what_holds_the_clean_up_is_named() -> None:
    """A pod on a node that is away is waited for by its name, so that somebody can remove it."""
    world = World(new_backup())
    advance(world, "CleaningUp")
    facts = replace(world.facts(), leftovers=Leftovers(pods=(PodFacts(name="worker-x7k2p"),)))
    status = decide(world.backup, facts).status
    assert status.phase == "CleaningUp"
    assert "still there: Pod worker-x7k2p" in status.conditions[0].message


@pytest.mark.parametrize(("poll_seconds", "again"), [(2.0, 1.0), (0.25, 0.25)])
def test_a_clean_up_waits_a_second_at_most(poll_seconds: float, again: float) -> None:
    """Less where active runs are looked at more often: nothing tells of claims and snapshots that have gone."""
    world = World(new_backup())
    advance(world, "CleaningUp")
    facts = replace(world.facts(), leftovers=Leftovers(jobs=("worker",)))
    rules = replace(RULES, poll_seconds=poll_seconds)
    assert next_step(world.backup, facts, rules, START).again == again


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


@pytest.mark.parametrize(("minutes", "ended"), [(1, False), (9, False), (10, True)])
def test_a_run_ends_after_its_snapshot_is_gone(minutes: int, ended: bool) -> None:
    """Ready says that nothing is left; a finalizer of somebody else's does not hold the run for ever."""
    world = World(new_backup())
    advance(world, "CleaningUp")
    ref = VMSnapshotRef(namespace="shop", name="snap", uid="snap-uid", deleted_at=START)
    facts = replace(world.facts(), leftovers=Leftovers(vm_snapshots=(ref,)))
    decision = decide(world.backup, facts, timedelta(minutes=minutes))
    assert decision.steps == ()
    assert (decision.status.phase == "Completed") == ended
    assert ended or "still there: VirtualMachineSnapshot snap" in decision.status.conditions[0].message


def deleted(backup: VMBackup, policy: str) -> VMBackup:
    """The VMBackup in deletion, with that deletionPolicy."""
    metadata = backup.metadata.model_copy(update={"deletion_timestamp": START})
    spec = backup.spec.model_copy(update={"deletion_policy": policy})
    return backup.model_copy(update={"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("deleting", [False, True])
def test_a_run_that_ends_in_deletion_is_looked_at_again_at_once(deleting: bool) -> None:
    """Nobody tells of its end, so what goes with the object would wait for the next sweep."""
    world = World(new_backup())
    advance(world, "CleaningUp")
    backup = deleted(world.backup, "Delete") if deleting else world.backup
    ended = decide(backup, replace(world.facts(), leftovers=Leftovers()))
    assert ended.status.completion_time is not None
    assert ended.again == (0.0 if deleting else None)


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_point_that_was_complete_before_the_deletion_is_recorded(policy: str) -> None:
    """A VMBackup deleted in the moment of its commit tells its point, and forgets it where that is wanted."""
    world = World(new_backup())
    advance(world, "Transferring")
    world.job = 3
    done = decide(deleted(world.backup, policy), world.facts())
    assert done.status.restore_point == "point-1"
    assert done.status.failure is None
    world.backup = with_status(deleted(world.backup, policy), done)
    advance(world, "Completed")
    after = decide(world.backup, world.facts())
    assert after.released == (policy == "Retain")
    assert [type(step) for step in after.steps] == ([] if policy == "Retain" else [steps.StartForget])


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_held_vmbackup_stays_until_it_is_released(policy: str) -> None:
    """Deleted while `hold` is true, object and point stay and say why; without it they go as they would have."""
    backup, facts = forgetting()
    spec = backup.spec.model_copy(update={"hold": True, "deletion_policy": policy})
    held = backup.model_copy(update={"spec": spec})
    decision = decide(held, facts)
    assert (decision.released, decision.steps, decision.status.phase) == (False, (), "Held")
    assert "set spec.hold to false" in decision.status.conditions[0].message
    released = held.model_copy(update={"spec": spec.model_copy(update={"hold": False}), "status": decision.status})
    after = decide(released, facts)
    assert after.released == (policy == "Retain")
    assert [type(step) for step in after.steps] == ([] if policy == "Retain" else [steps.StartForget])
    assert decide(held, replace(facts, namespace_ending=True)).released


@pytest.mark.parametrize(("policy", "forgets"), [("Retain", False), ("Delete", True)])
def test_what_a_stopped_worker_may_have_committed_is_forgotten(policy: str, forgets: bool) -> None:
    """A worker that commits while it is being stopped leaves a point that no status names: its run names it."""
    world = World(new_backup())
    advance(world, "Transferring")
    world.backup = deleted(world.backup, policy)
    world.backup = with_status(world.backup, decide(world.backup, world.facts()))
    assert world.backup.status.failure is not None
    assert ("stays in the target" in world.backup.status.failure.message) == (not forgets)
    advance(world, "Failed")
    after = decide(world.backup, world.facts())
    assert after.released == (not forgets)
    runs = [step.run for step in after.steps if isinstance(step, steps.StartForget)]
    assert [(run.run_id, run.restore_point) for run in runs] == ([("backup-uid", None)] if forgets else [])


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
