"""Which VMs of a policy are behind its objective, and what its status and Events say of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.plan.policy.test_decision import CREATED, MISSING, TWO, VMS, facts, policy

from safehold.api import BackupPolicy
from safehold.api.base import Condition
from safehold.api.objectives import MAX_AWAITED
from safehold.api.policy import BackupPolicyStatus
from safehold.plan.policy.decision import next_run
from safehold.plan.policy.facts import PolicyFacts, SelectedVM
from safehold.plan.policy.objectives import OBJECTIVES_MET, transition, with_objectives
from safehold.plan.policy.outcomes import LastFailure, MachineOutcome, Place

HOUR = timedelta(hours=1)
RPO: dict[str, Any] = {"objectives": {"rpo": "4h"}}
Outcomes = Mapping[Place, MachineOutcome]


def point(vm: str, captured: datetime, *, uid: str | None = None) -> dict[Place, MachineOutcome]:
    """The newest restore point of a VM of the shop."""
    return {("shop", vm): MachineOutcome({uid or f"uid-{vm}": captured})}


def looked(
    found: BackupPolicy, outcomes: Outcomes, now: datetime, seen: PolicyFacts | None = None
) -> BackupPolicyStatus:
    """The status after a look at this time."""
    seen = seen or facts()
    return with_objectives(found, next_run(found, seen, now), seen, outcomes, now).status


def after(found: BackupPolicy, outcomes: Outcomes, now: datetime) -> BackupPolicy:
    """The policy with the status of a look."""
    return found.model_copy(update={"status": looked(found, outcomes, now)})


def met(status: BackupPolicyStatus) -> Condition:
    """The condition about the objectives."""
    return next(condition for condition in status.conditions if condition.type == OBJECTIVES_MET)


def test_a_vm_is_behind_when_its_newest_point_is_older_than_the_rpo() -> None:
    """It is counted and named with the time of its point; the other one is protected."""
    outcomes = point("db", TWO - 5 * HOUR) | point("web", TWO - HOUR)
    status = looked(policy(**RPO), outcomes, TWO)
    assert (status.matched_machines, status.protected_machines, status.overdue_machines) == (2, 1, 1)
    (worst,) = status.worst_machines
    assert (worst.name, worst.last_point_time, worst.matched_since) == ("db", TWO - 5 * HOUR, None)
    assert (met(status).status, met(status).reason) == ("False", "BehindObjective")
    assert "1 of 2 VMs" in met(status).message


def test_a_point_as_old_as_the_rpo_is_recent_enough() -> None:
    """The bound belongs to what is allowed; a second more does not."""
    outcomes = point("db", TWO - 4 * HOUR) | point("web", TWO)
    assert looked(policy(**RPO), outcomes, TWO).overdue_machines == 0
    assert looked(policy(**RPO), outcomes, TWO + timedelta(seconds=1)).overdue_machines == 1


def test_a_vm_without_a_point_counts_from_its_first_match() -> None:
    """Neither protected nor behind while it has time for its first; then it is behind since it began to match."""
    new = policy(**RPO)
    early = after(new, point("web", CREATED), CREATED + timedelta(minutes=5))
    assert (early.status.protected_machines, early.status.overdue_machines) == (1, 0)
    assert [(one.name, one.since) for one in early.status.awaited_machines] == [("db", CREATED)]
    late = looked(early, point("web", CREATED + 3 * HOUR), CREATED + 4 * HOUR + timedelta(seconds=1))
    (worst,) = late.worst_machines
    assert (worst.name, worst.last_point_time, worst.matched_since) == ("db", None, CREATED)


def test_an_old_vm_that_is_labelled_later_counts_from_then() -> None:
    """What the status remembers of the last look tells when the selectors began to match it."""
    first = after(policy(**RPO), point("db", TWO), TWO)
    labelled = SelectedVM(namespace="shop", name="old", uid="uid-old", created=CREATED - 1000 * HOUR)
    seen = facts(vms=(*VMS, labelled))
    now = TWO + 3 * HOUR
    status = looked(first, point("db", now) | point("web", now), now, seen)
    assert [(one.name, one.since) for one in status.awaited_machines] == [("old", now)]
    assert status.overdue_machines == 0


def test_where_too_many_wait_to_be_remembered_one_counts_from_its_creation() -> None:
    """Rather too early than never: a VM that nothing is remembered of may have waited for long."""
    many = tuple(SelectedVM(namespace="shop", name=f"vm-{n}", uid=f"uid-{n}", created=CREATED) for n in range(200))
    found = policy(**RPO)
    first = found.model_copy(update={"status": looked(found, {}, TWO, facts(vms=many))})
    assert len(first.status.awaited_machines) == MAX_AWAITED
    status = looked(first, {}, CREATED + 5 * HOUR, facts(vms=many))
    assert (status.overdue_machines, len(status.worst_machines)) == (200, 10)


def test_the_worst_come_first_and_are_ten_at_most() -> None:
    """By age, whether of a point or of waiting for one."""
    vms = tuple(SelectedVM(namespace="shop", name=f"vm-{n}", uid=f"uid-{n}", created=CREATED) for n in range(15))
    outcomes = {("shop", f"vm-{n}"): MachineOutcome({f"uid-{n}": TWO - (10 + n) * HOUR}) for n in range(15)}
    status = looked(policy(**RPO), outcomes, TWO, facts(vms=vms))
    assert status.overdue_machines == 15
    assert [worst.name for worst in status.worst_machines] == [f"vm-{n}" for n in range(14, 4, -1)]


FAILED = LastFailure(TWO - HOUR, "SnapshotFailed", "no class")


@pytest.mark.parametrize(
    ("outcome", "seen", "reason", "message"),
    [
        (MachineOutcome({"uid-db": TWO - 9 * HOUR}, FAILED), facts(), "SnapshotFailed", "no class"),
        (MachineOutcome({"uid-db": TWO - 9 * HOUR}), facts(target=MISSING), "TargetNotFound", "no such target"),
        (MachineOutcome({"uid-db": TWO - 9 * HOUR}), facts(), "BehindObjective", "waits for its turn"),
        (
            MachineOutcome({"uid-db": TWO - 9 * HOUR}, LastFailure(TWO - 10 * HOUR, "JobFailed", "before that")),
            facts(),
            "BehindObjective",
            "waits for its turn",
        ),
        (MachineOutcome({"earlier": TWO - HOUR}), facts(), "BehindObjective", "created again under its old name"),
    ],
)
def test_the_reason_is_what_stands_in_the_way(
    outcome: MachineOutcome, seen: PolicyFacts, reason: str, message: str
) -> None:
    """The last failure since the newest point; else what the policy waits for; else that the VM is another one."""
    old = policy(**RPO)
    old = old.model_copy(update={"metadata": old.metadata.model_copy(update={"creation_timestamp": TWO - 20 * HOUR})})
    status = looked(old, {("shop", "db"): outcome} | point("web", TWO), TWO, seen)
    (worst,) = status.worst_machines
    assert worst.name == "db"
    assert worst.reason == reason
    assert message in worst.message


def test_points_of_an_earlier_vm_of_that_name_protect_nobody() -> None:
    """A VM that was created again has a lineage of its own: its uid decides, not its name."""
    status = looked(policy(**RPO), point("db", TWO, uid="earlier") | point("web", TWO), TWO)
    assert [one.name for one in status.awaited_machines] == ["db"]
    assert status.protected_machines == 1
    assert met(status).message.endswith(
        "created again under old names, so that earlier restore points are not theirs: db"
    )


def test_without_an_rpo_the_schedule_is_the_objective() -> None:
    """Of an hourly policy a VM is behind once the run after the one that it missed has begun."""
    found = after(policy(), {}, CREATED)
    outcomes = point("db", TWO + timedelta(minutes=1)) | point("web", TWO + HOUR)
    early = after(found, outcomes, TWO + HOUR + timedelta(minutes=59))
    assert early.status.overdue_machines == 0
    late = looked(early, outcomes, TWO + 2 * HOUR)
    assert [worst.name for worst in late.worst_machines] == ["db"]


def test_an_edited_schedule_owes_nothing_for_the_past() -> None:
    """A weekly policy that becomes an hourly one finds nobody behind before two of its runs have begun."""
    week = after(policy(schedule="@weekly"), {}, CREATED)
    outcomes = point("db", CREATED) | point("web", CREATED)
    hourly = policy(week.status, generation=2)
    edited = after(hourly, outcomes, TWO + timedelta(minutes=10))
    assert edited.status.overdue_machines == 0
    assert looked(edited, outcomes, TWO + 2 * HOUR).overdue_machines == 2


def test_nothing_is_demanded_of_a_suspended_policy() -> None:
    """The condition says so, nobody is counted as behind, and after it the schedule counts from anew."""
    outcomes = point("db", TWO - 100 * HOUR) | point("web", TWO)
    suspended = after(policy(suspend=True, **RPO), outcomes, TWO)
    assert (suspended.status.overdue_machines, suspended.status.worst_machines) == (None, [])
    assert (met(suspended.status).status, met(suspended.status).reason) == ("Unknown", "Suspended")
    resumed = policy(suspended.status, generation=2)
    assert looked(resumed, outcomes, TWO + HOUR).overdue_machines == 0
    assert looked(policy(suspended.status, generation=2, **RPO), outcomes, TWO + HOUR).overdue_machines == 1


@pytest.mark.parametrize(
    ("spec", "seen", "reason"),
    [
        ({}, facts(vms=()), "NoVMSelected"),
        (RPO, facts(vms=()), "NoVMSelected"),
        ({"schedule": "61 * * * *"}, facts(), "InvalidSchedule"),
    ],
)
def test_where_nothing_can_be_said_the_condition_is_unknown(
    spec: dict[str, Any], seen: PolicyFacts, reason: str
) -> None:
    """No VM, or a schedule that cannot be understood and no rpo beside it."""
    status = looked(policy(**spec), {}, TWO, seen)
    assert (met(status).status, met(status).reason, status.overdue_machines) == ("Unknown", reason, None)


def test_an_rpo_holds_though_the_schedule_is_wrong() -> None:
    """A policy that starts nothing leaves its VMs behind, and says so."""
    outcomes = point("db", TWO - 5 * HOUR) | point("web", TWO)
    status = looked(policy(schedule="61 * * * *", **RPO), outcomes, TWO)
    assert status.overdue_machines == 1
    assert status.worst_machines[0].reason == "InvalidSchedule"


def test_vms_that_opted_out_are_counted_apart() -> None:
    """Not among the matched."""
    seen = PolicyFacts(vms=VMS, excluded=3, backups=(), target=None)
    status = looked(policy(**RPO), {}, TWO, seen)
    assert (status.matched_machines, status.excluded_machines) == (2, 3)


def test_people_hear_of_transitions_only() -> None:
    """Once when the first VM falls behind, once when all have caught up; not of a new policy that is well."""
    good, bad = point("db", TWO) | point("web", TWO), point("db", TWO - 9 * HOUR) | point("web", TWO)
    told: list[str] = []
    found = policy(**RPO)
    for outcomes in (good, good, bad, bad, good, good):
        now = after(found, outcomes, TWO)
        if heard := transition(found.status, now.status):
            told.append(heard.reason)
        found = now
    assert told == ["BehindObjective", "WithinObjective"]


def test_a_look_that_finds_nothing_new_changes_nothing() -> None:
    """No age is written down, so that the status is not applied again with every look."""
    outcomes = point("db", TWO - 9 * HOUR)
    first = after(after(policy(**RPO), outcomes, TWO), outcomes, TWO + timedelta(minutes=5))
    second = after(first, outcomes, TWO + timedelta(minutes=10))
    assert first.status == second.status


NIGHT = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_night_of_a_clock_change_leaves_nobody_behind(zone: str) -> None:
    """A daily run at a time that is left out that night is owed like any other."""
    found = policy(schedule="30 2 * * *", timeZone=zone)
    found = after(found, {}, NIGHT - timedelta(days=3))
    outcomes = point("db", NIGHT + 3 * HOUR) | point("web", NIGHT + 3 * HOUR)
    assert looked(found, outcomes, NIGHT + 24 * HOUR).overdue_machines == 0
