"""What a restore's plan must not do: hand over what the worker did not write, fight another restore, wait for ever."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.restore.objects import NOW, OPERATOR, READY, restore
from tests.plan.restore.world import World

from safehold.api import VMRestore
from safehold.plan.job import JobFacts, PodFacts
from safehold.plan.names import job_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.reconcile import next_step
from safehold.reasons import Reason
from safehold.report import Progress

RUN = job_name("restore", "back", "restore-uid")


def filling() -> World:
    """In place, at the moment at which the worker was started."""
    world = World.with_running_vm()
    world.start_worker()
    return world


def filled() -> World:
    """The worker is done; the restore has not looked at it yet."""
    world = filling()
    while world.job is not None and world.job.outcome is None:
        world.others()
    return world


def test_a_volume_that_the_worker_did_not_write_is_never_handed_over() -> None:
    """A filling claim that was deleted after the worker ended, and would be made again empty, fails the restore."""
    world = filled()
    lost = world.claims.pop((OPERATOR, world.restore.status.volumes[0].prime_claim))
    del world.volumes[lost.volume or ""]
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == Reason.CLAIM_CONFLICT
    assert [world.content_of(f"orders-{name}") for name in ("root", "data")] == ["old", "old"]


def test_another_claim_under_the_filling_ones_name_is_not_believed() -> None:
    """The claim's uid is recorded before the worker starts; one of the same name that came later is empty."""
    world = filled()
    place = (OPERATOR, world.restore.status.volumes[0].prime_claim)
    world.claims[place] = replace(world.claims[place], ref=replace(world.claims[place].ref, uid="later"))
    failure = world.decide().status.failure
    assert failure is not None
    assert failure.reason == Reason.CLAIM_CONFLICT


def other(minutes_older: int, **changes: Any) -> VMRestore:
    """Another restore in place of VM orders, which has not ended."""
    made = restore()
    metadata = made.metadata.model_copy(
        update={"name": "other", "uid": "other-uid", "creation_timestamp": NOW - timedelta(minutes=minutes_older)}
    )
    return VMRestore.model_validate({**made.to_wire(), "metadata": metadata.to_wire(), **changes})


MAIL = {"source": {"vm": "mail"}, "target": {"mode": "InPlace"}}
NEW_VM = {"source": {"backup": "orders-1"}, "target": {"mode": "NewVM", "name": "x"}}
OTHERS = [
    (other(5), True),
    (other(-5), False),
    (other(-5, status={"vm": {"name": "orders"}}), True),
    (other(5, status={"vm": {"name": "mail"}}), False),
    (other(5, spec=MAIL), False),
    (other(5, spec=NEW_VM), False),
    (other(5, status={"conditions": [READY], "vm": {"name": "orders"}}), False),
]
MEANINGS = ["older", "younger", "under way", "of another VM", "of another VM by name", "a new VM", "ended"]


@pytest.mark.parametrize(("rival", "waits"), OTHERS, ids=MEANINGS)
def test_restores_of_one_vm_go_one_after_another(rival: VMRestore, waits: bool) -> None:
    """While another restore in place of the VM is under way, or was there first, nothing is stopped or recorded."""
    world = World.with_running_vm()
    world.save(world.decide().status)
    look = world.look()
    decision = next_step(replace(look, seen=replace(look.seen, others=[rival])))
    assert (decision.status.vm is None) == waits
    assert isinstance(decision.step, steps.Wait) == waits
    assert not waits or "VMRestore other" in decision.status.conditions[0].message


@pytest.mark.parametrize(("minutes", "fails"), [(20, False), (46, True)])
def test_a_worker_that_never_starts_ends_the_restore(minutes: int, fails: bool) -> None:
    """A pod that no node takes is waited for only so long, and its sentence is told."""
    world = filling()
    world.job = JobFacts(name=RUN, uid="j", waiting_for="0/3 nodes are available")
    world.now += timedelta(minutes=minutes)
    status = world.decide().status
    assert (status.failure is not None) == fails
    assert "0/3 nodes are available" in status.conditions[0].message
    assert not status.failure or status.failure.reason == Reason.TIMED_OUT


def test_a_lost_node_ends_the_restore_and_the_vm_runs_before_the_node_is_back() -> None:
    """The VM's own volumes are untouched; only what the lost pod holds has to wait."""
    world = filling()
    pod = PodFacts(name="worker-1", node="node-7", due_gone=world.now - timedelta(minutes=6))
    world.job = JobFacts(name=RUN, uid="j", pods=(pod,))
    world.save(world.decide().status)
    failure = world.restore.status.failure
    assert failure is not None
    assert (failure.reason, "node-7" in failure.message) == (Reason.NODE_LOST, True)
    assert world.decide().step == steps.SetRunStrategy("orders", "vm-uid", "Always")


def test_new_volumes_that_no_node_reaches_together_end_the_restore() -> None:
    """Neither the worker nor the VM could ever have both; the sentence names them, and nobody waits for a node."""
    world = filling()
    for name, node in zip(sorted(world.volumes.keys() - {"old-root", "old-data"}), "ab", strict=True):
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        affinity = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        world.volumes[name] = replace(world.volumes[name], node_affinity=affinity)
    failure = world.decide().status.failure
    assert failure is not None
    assert (failure.reason, "volume data" in failure.message) == (Reason.UNSCHEDULABLE, True)


def test_progress_stays_when_one_look_at_the_log_finds_none() -> None:
    """The message does not go back to waiting for a worker that has begun long ago."""
    world = filling()
    progress = Progress(run_id="restore-uid", bytes_done=25, bytes_total=100)
    world.job = JobFacts(name=RUN, uid="j", progress=progress)
    world.save(world.decide().status)
    told = world.restore.status.conditions
    world.job = JobFacts(name=RUN, uid="j")
    assert world.decide().status.conditions == told


def test_a_target_that_stays_unready_before_the_worker_starts_ends_the_restore() -> None:
    """The VM is stopped by then, so the wait has an end."""
    world = filling()
    world.job, world.target = None, Refusal(Reason.TARGET_NOT_READY, "the endpoint does not answer")
    assert world.decide().status.failure is None
    world.now += timedelta(minutes=46)
    failure = world.decide().status.failure
    assert failure is not None
    assert failure.reason == Reason.TARGET_NOT_READY


def test_a_secret_without_its_job_is_removed() -> None:
    """A start that was cut short between Secret and Job leaves no credentials behind when the restore is given up."""
    world = filling()
    world.job = None
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": world.now})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Always")
    look = world.look()
    assert next_step(replace(look, seen=replace(look.seen, run_secret=True))).step == steps.DeleteJob(RUN)
    assert not isinstance(next_step(look).step, steps.DeleteJob)
