"""Backups that failed for a reason that may pass, and are tried again within their run."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.policy.test_decision import TWO, VMS, facts, policy

from safehold.api.policy import BackupPolicyStatus
from safehold.api.timing import DelayedMachine
from safehold.plan.policy.decision import next_run
from safehold.plan.policy.facts import (
    ATTEMPT,
    PROBE,
    RUN,
    PolicyBackup,
    PolicyDecision,
    is_made_by,
    run_label,
)
from safehold.reasons import Reason

MINUTE = timedelta(minutes=1)
DB = VMS[:1]


def failed(attempt: int = 1, *, run: datetime = TWO, minutes: int = 10, **changes: Any) -> PolicyBackup:
    """A try of the database's VM that failed so many minutes after its run time, as a rule because of the store."""
    found = PolicyBackup(
        namespace="shop",
        vm="db",
        run=run_label(run),
        attempt=attempt,
        finished=True,
        succeeded=False,
        reason=Reason.ENDPOINT_UNREACHABLE,
        ended=run + minutes * MINUTE,
    )
    return replace(found, **changes)


def begun(**spec: Any) -> BackupPolicyStatus:
    """The status after the run of two o'clock has begun."""
    return next_run(policy(**spec), facts(vms=DB), TWO).status


def looked(now: datetime, *backups: PolicyBackup, **spec: Any) -> PolicyDecision:
    """A look after two o'clock's run has begun, at which the VM itself is not due."""
    seen = replace(facts(*backups, vms=DB), with_history=frozenset())
    return next_run(policy(begun(**spec), **spec), seen, now)


def test_a_backup_that_failed_is_tried_again_after_a_while() -> None:
    """Five minutes later, less up to a quarter; the status says when and why, and the look after that begins it."""
    early = looked(TWO + 11 * MINUTE, failed())
    (coming,) = early.status.retrying_machines
    assert (coming.name, coming.attempt, coming.reason) == ("db", 2, "EndpointUnreachable")
    assert TWO + (10 + 3.75) * MINUTE <= coming.time <= TWO + 15 * MINUTE
    assert (early.create, early.again) == ((), coming.time - (TWO + 11 * MINUTE))
    late = looked(coming.time, failed())
    (again,) = late.create
    assert (again.labels[RUN], again.labels[ATTEMPT]) == (run_label(TWO), "2")
    assert is_made_by("policy-uid", name=again.name, vm="db", labels=again.labels)
    assert (late.retried, late.status.retrying_machines, late.status.active_backups) == (("db",), [], 1)


def test_each_try_waits_twice_as_long() -> None:
    """And has a name of its own; the last one is not repeated."""
    backups, names, now = [failed()], set[str](), TWO + 10 * MINUTE
    for attempt, minutes in ((2, 5), (3, 10), (4, 20)):
        decision = looked(now, *backups, retry={"attempts": 4})
        (coming,) = decision.status.retrying_machines
        assert now + 0.75 * minutes * MINUTE <= coming.time <= now + minutes * MINUTE
        (again,) = looked(coming.time, *backups, retry={"attempts": 4}).create
        names.add(again.name)
        now = coming.time + MINUTE
        backups.append(failed(attempt, ended=now))
    assert len(names) == 3
    done = looked(TWO + 59 * MINUTE, *backups, retry={"attempts": 4})
    assert (done.create, done.status.retrying_machines) == ((), [])


@pytest.mark.parametrize(
    ("backup", "spec"),
    [
        pytest.param(failed(reason=Reason.VM_NOT_FOUND), {}, id="for a reason that stays"),
        pytest.param(failed(succeeded=True), {}, id="not failed"),
        pytest.param(failed(finished=False), {}, id="active"),
        pytest.param(failed(cleaned_up=False), {}, id="still being cleaned up"),
        pytest.param(failed(probe=True), {}, id="let through by the circuit breaker"),
        pytest.param(failed(3), {}, id="tried often enough"),
        pytest.param(failed(), {"retry": {"attempts": 1}}, id="to be tried once"),
        pytest.param(failed(run=TWO - 60 * MINUTE), {}, id="of an earlier run"),
        pytest.param(failed(), {"startingDeadline": "12m"}, id="too late for another start"),
    ],
)
def test_what_is_not_tried_again(backup: PolicyBackup, spec: dict[str, Any]) -> None:
    """Neither then nor later in the run."""
    decision = looked(TWO + 50 * MINUTE, backup, **spec)
    assert (decision.create, decision.status.retrying_machines) == ((), [])


def test_closed_hours_hold_a_further_try_up() -> None:
    """It is a start like any other."""
    spec = {"windows": [{"from": "13:00", "to": "14:12"}, {"from": "14:40", "to": "15:00"}]}
    (coming,) = looked(TWO + 13 * MINUTE, failed(), **spec).status.retrying_machines
    assert coming.time == TWO + 40 * MINUTE


def test_the_next_run_takes_the_place_of_a_further_try() -> None:
    """A VM that is due gets one backup, which is the new run's."""
    three = TWO + 60 * MINUTE
    due = next_run(policy(begun()), facts(failed(minutes=58), vms=DB), three)
    assert [backup.labels[RUN] for backup in due.create] == [run_label(three)]
    assert ATTEMPT not in due.create[0].labels
    after = next_run(policy(due.status), facts(failed(minutes=58), vms=DB), three + 10 * MINUTE)
    assert after.create == ()


def test_the_tries_of_a_run_are_one_failure_to_the_circuit_breaker() -> None:
    """Two runs of three tries each hold nothing back; a third one does, and what is let through is tried once."""

    def run(hours: int) -> list[PolicyBackup]:
        at = TWO - timedelta(hours=hours)
        return [failed(attempt, run=at, minutes=10 * attempt) for attempt in (1, 2, 3)]

    two = next_run(policy(), facts(*run(2), *run(1), vms=DB), TWO)
    assert (len(two.create), two.status.delayed_machines) == (1, [])
    three = next_run(policy(), facts(*run(3), *run(2), *run(1), vms=DB), TWO)
    assert (three.create, [delayed.failures for delayed in three.status.delayed_machines]) == ((), [3])
    probe = next_run(policy(), facts(*run(5), *run(4), *run(3), vms=DB), TWO)
    assert [backup.labels[PROBE] for backup in probe.create] == ["true"]


def test_a_vm_that_is_held_back_is_not_tried_again_either() -> None:
    """A try of the last run is held back like a new run; without the delay it would begin."""
    delayed = DelayedMachine(name="db", failures=3, until=TWO + 15 * MINUTE)
    backups, now = replace(facts(failed(minutes=5), vms=DB), with_history=frozenset()), TWO + 12 * MINUTE
    held = begun().model_copy(update={"delayed_machines": [delayed]})
    assert next_run(policy(held), backups, now).create == ()
    assert len(next_run(policy(begun()), backups, now).create) == 1


def test_a_run_succeeded_when_its_last_try_has() -> None:
    """The failures before it are told no more."""
    good = failed(2, minutes=20, succeeded=True, reason="")
    status = looked(TWO + 30 * MINUTE, failed(), good).status
    assert (status.failed_machines, status.last_successful_time) == (0, TWO)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 5), st.integers(1, 60))
def test_tries_are_bounded_and_end_in_time(lengths: list[int], attempts: int, deadline: int) -> None:
    """However long they take and however often they fail: never more than allowed, none after the deadline."""
    spec = {"retry": {"attempts": attempts, "delay": "1m"}, "startingDeadline": f"{deadline}m"}
    backups, now = [failed(minutes=lengths[0])], TWO + lengths[0] * MINUTE
    for number, minutes in enumerate([*lengths[1:], *lengths], start=2):
        decision = looked(now, *backups, **spec)
        if not decision.status.retrying_machines:
            break
        (coming,) = decision.status.retrying_machines
        assert now <= coming.time <= TWO + deadline * MINUTE
        if coming.time >= TWO + 60 * MINUTE:
            break
        now = coming.time + minutes * MINUTE
        backups.append(failed(number, ended=now))
        if now >= TWO + 60 * MINUTE:
            break
    assert len(backups) <= attempts
