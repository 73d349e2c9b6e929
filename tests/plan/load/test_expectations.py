"""What is expected of the runs in the queue, and of those to come."""

from datetime import timedelta
from typing import Any

from tests.plan.load.objects import GIB, past
from tests.plan.policy.test_decision import TWO, VMS, policy

from safehold.plan.fair_queue import Claim, FairQueue
from safehold.plan.load.appointments import appointments_of
from safehold.plan.load.expectations import Expectations
from safehold.plan.policy.outcomes import MachineOutcome

HOUR = timedelta(hours=1)
NOW = TWO + timedelta(minutes=10)
POLICY = "policy-uid"
POINTS = {("shop", "db"): MachineOutcome({"uid-db": NOW - 2 * HOUR})}


def expectations(**spec: Any) -> Expectations:
    """Of an hourly policy; db has a point that is two hours old, and takes a minute."""
    found = appointments_of(policy(**spec), VMS, POINTS, NOW)
    assert found is not None
    known = Expectations(appointments={POLICY: found})
    known.experience.learn(past(60, read=GIB))
    return known


def waiting(policy_uid: str = POLICY) -> FairQueue:
    """A queue in which db waits since the last run time."""
    queue = FairQueue(1)
    queue.wait(("shop", "run"), Claim(namespace="shop", since=TWO, vm="db", policy=policy_uid))
    return queue


def test_a_run_that_waits_has_the_due_time_of_its_run() -> None:
    """It came at two, and is due at three; what a person asked for has no due time."""
    (run,) = expectations().lineup(waiting(), {}, NOW).waiting
    assert (run.due, run.ready, run.estimate.seconds) == (TWO + HOUR, NOW, 60)
    (asked,) = expectations().lineup(waiting(""), {}, NOW).waiting
    assert asked.due is None


def test_a_run_that_came_after_the_last_look_at_its_policy_is_the_next_one() -> None:
    """Appointments are a minute old at times: a VMBackup of three o'clock is due at four."""
    queue = FairQueue(1)
    queue.wait(("shop", "run"), Claim(namespace="shop", since=TWO + HOUR, vm="db", policy=POLICY))
    (run,) = expectations().lineup(queue, {}, TWO + HOUR).waiting
    assert run.due == TWO + 2 * HOUR


def test_an_objective_counts_from_the_newest_point() -> None:
    """A point two hours old may get five hours old; without one, the time counts from the run's own moment."""
    known = expectations(objectives={"rpo": "5h"})
    (run,) = known.lineup(waiting(), {}, NOW).waiting
    assert run.due == NOW + 3 * HOUR
    coming = {run.claim.vm: run for run in known.lineup(FairQueue(1), {}, NOW).coming}
    assert coming["db"].due == NOW + 3 * HOUR
    assert coming["web"].due == TWO + HOUR + 5 * HOUR


def test_a_run_to_come_is_due_later_where_another_point_is_made_before() -> None:
    """The one that waits renews the VM's newest point."""
    coming = expectations(objectives={"rpo": "5h"}).lineup(waiting(), {}, NOW).coming
    assert {run.claim.vm: run.due for run in coming}["db"] == TWO + HOUR + 5 * HOUR


def test_what_comes_next_takes_places_of_its_target() -> None:
    """One run of each VM, at its moment."""
    coming = expectations().lineup(waiting(), {}, NOW).coming
    assert sorted((run.claim.vm, run.ready, run.due) for run in coming) == [
        ("db", TWO + HOUR, TWO + 2 * HOUR),
        ("web", TWO + HOUR, TWO + 2 * HOUR),
    ]
    assert {run.claim.pools for run in coming} == {frozenset(("target ClusterBackupTarget//primary",))}


def test_an_active_run_began_when_it_did() -> None:
    """So that what is left of it is known."""
    queue = FairQueue(1)
    queue.begin(("shop", "run"), Claim(namespace="shop", since=TWO, vm="db", policy=POLICY))
    (run,) = expectations().lineup(queue, {("shop", "run"): TWO}, NOW).active
    assert run.ready == TWO
