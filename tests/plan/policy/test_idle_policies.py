"""The status of policies that start nothing: suspended, wrong, without a target or without a VM."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.policy.test_decision import CREATED, MISSING, TWO, VMS, facts, made, policy
from tests.plan.policy.test_repeats import failed

from safehold.api.policy import BackupPolicyStatus
from safehold.api.timing import DelayedMachine
from safehold.plan.policy.decision import next_run
from safehold.plan.policy.facts import PolicyBackup, SelectedVM

MINUTE = timedelta(minutes=1)
_Case = tuple[dict[str, Any], dict[str, Any]]
"""What the spec says, and what is found in the cluster."""
SUSPENDED: _Case = ({"suspend": True}, {})
WRONG: _Case = ({"schedule": "0 0 31 2 *"}, {})
NO_TARGET: _Case = ({}, {"target": MISSING})
NOTHING_SELECTED: _Case = ({}, {"vms": ()})
IDLE = pytest.mark.parametrize(
    ("spec", "found"),
    [SUSPENDED, WRONG, NO_TARGET, NOTHING_SELECTED],
    ids=["suspended", "wrong", "without a target", "without a VM"],
)
TIERS = [{"name": "weekly", "schedule": "@weekly"}, {"name": "hourly", "schedule": "@hourly"}]


def begun(**spec: Any) -> BackupPolicyStatus:
    """The status after the run of two o'clock has begun."""
    known = next_run(policy(**spec), facts(), TWO - MINUTE).status
    return next_run(policy(known, **spec), facts(), TWO).status


def left_alone(
    spec: dict[str, Any], found: dict[str, Any], *backups: PolicyBackup, status: BackupPolicyStatus | None = None
) -> BackupPolicyStatus:
    """The status twenty minutes later, at the first look at a policy that starts nothing any more."""
    idle = policy(status or begun(), generation=2, **spec)
    return next_run(idle, facts(*backups, **found), TWO + 20 * MINUTE).status


@IDLE
def test_what_is_under_way_is_followed_to_its_end(spec: dict[str, Any], found: dict[str, Any]) -> None:
    """The run that was begun before is counted, and called successful once every VM's backup is."""
    running = left_alone(spec, found, made("db", TWO), made("web", TWO, finished=False))
    assert (running.active_backups, running.last_successful_time) == (1, None)
    over = left_alone(spec, found, made("db", TWO), made("web", TWO), status=running)
    assert (over.active_backups, over.last_successful_time) == (0, TWO)
    worse = left_alone(spec, found, made("db", TWO), made("web", TWO, succeeded=False), status=running)
    assert (worse.failed_machine_names, worse.last_successful_time) == (["web"], None)


@pytest.mark.parametrize(("spec", "found"), [SUSPENDED, WRONG], ids=["suspended", "wrong"])
def test_a_run_that_was_cut_short_is_no_success(spec: dict[str, Any], found: dict[str, Any]) -> None:
    """In the midst of the spread one VM had its backup; the other one never gets any of that run."""
    assert left_alone(spec, found, made("db", TWO)).last_successful_time is None


def test_a_run_is_a_success_of_the_vms_that_were_there() -> None:
    """One that was created after the run time is not waited for; one that was left out, held back or missed is."""
    young = SelectedVM(namespace="shop", name="young", uid="uid-young", created=TWO + MINUTE)
    old = replace(young, created=CREATED)
    both = (made("db", TWO), made("web", TWO))
    assert left_alone(SUSPENDED[0], {"vms": (*VMS, young)}, *both).last_successful_time == TWO
    assert left_alone(SUSPENDED[0], {"vms": (*VMS, old)}, *both).last_successful_time is None


@pytest.mark.parametrize(("spec", "found"), [SUSPENDED, WRONG], ids=["suspended", "wrong"])
def test_nothing_is_announced_that_does_not_come(spec: dict[str, Any], found: dict[str, Any]) -> None:
    """No next run, no further try, no delay that is over; of a tier its last run is still told."""
    over, lasting = (
        DelayedMachine(name=name, failures=3, until=TWO + minutes * MINUTE)
        for name, minutes in (("db", 5), ("web", 60))
    )
    status = begun(schedule=None, schedules=TIERS)
    tried = next_run(policy(begun()), facts(failed()), TWO + 11 * MINUTE).status
    assert tried.retrying_machines
    known = tried.model_copy(update={"delayed_machines": [over, lasting], "tiers": status.tiers})
    told = left_alone(spec, found, failed(), status=known)
    assert (told.next_schedule_time, told.retrying_machines, told.delayed_machines) == (None, [], [lasting])
    assert [(tier.name, tier.last_schedule_time, tier.next_schedule_time) for tier in told.tiers] == [
        ("weekly", None, None),
        ("hourly", TWO, None),
    ]


@pytest.mark.parametrize(("spec", "found"), [NO_TARGET, NOTHING_SELECTED], ids=["without a target", "without a VM"])
def test_the_next_runs_are_told_while_something_is_missing(spec: dict[str, Any], found: dict[str, Any]) -> None:
    """Those of each tier too: the schedule goes on, and no time of it stays in the past."""
    tiers = {"schedule": None, "schedules": TIERS}
    told = left_alone({**tiers, **spec}, found, status=begun(**tiers))
    later = next_run(policy(told, **{**tiers, **spec}), facts(**found), TWO + 80 * MINUTE).status
    assert later.tiers[1].next_schedule_time == TWO + 120 * MINUTE
    assert later.next_schedule_time == TWO + 120 * MINUTE
    assert later.tiers[1].last_schedule_time == TWO


def test_vms_that_are_selected_no_more_are_not_announced() -> None:
    """Neither as held back nor as tried again."""
    tried = next_run(policy(begun()), facts(failed()), TWO + 11 * MINUTE).status
    delayed = DelayedMachine(name="db", failures=3, until=TWO + 60 * MINUTE)
    told = left_alone({}, {"vms": ()}, status=tried.model_copy(update={"delayed_machines": [delayed]}))
    assert (told.retrying_machines, told.delayed_machines) == ([], [])
