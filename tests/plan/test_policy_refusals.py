"""A run of which some VMBackups are refused by the cluster, and VMBackups that only look like the policy's."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.plan.test_policy import TWO, VMS, facts, made, policy

from safehold.plan.conditions import STALLED, is_true
from safehold.plan.names import backup_name
from safehold.plan.policy import has_due_run, is_made_by, next_run, run_label, stay_due
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

QUOTA = Refusal(Reason.FORBIDDEN, "exceeded quota: no more VMBackups in shop")


def test_a_refused_backup_keeps_its_run_due_for_that_vm_only() -> None:
    """The condition says why, the others go on, and the next look creates what is missing and nothing twice."""
    first = policy()
    begun = first.model_copy(update={"status": next_run(first, facts(), TWO - timedelta(minutes=1)).status})
    decision = stay_due(begun, next_run(begun, facts(), TWO), [QUOTA], TWO)
    assert is_true(decision.status.conditions, STALLED)
    assert "exceeded quota" in decision.status.conditions[0].message
    assert decision.again == timedelta(seconds=15)
    later = begun.model_copy(update={"status": decision.status})
    assert has_due_run(later, TWO + timedelta(seconds=15))
    again = next_run(later, facts(made(VMS[0].name, TWO, finished=False)), TWO + timedelta(seconds=15))
    assert [backup.spec["vm"]["name"] for backup in again.create] == [VMS[1].name]
    assert again.status.last_schedule_time == TWO


def test_a_run_without_refusals_is_as_decided() -> None:
    """Nothing is refused: nothing changes."""
    decision = next_run(policy(), facts(), TWO)
    assert stay_due(policy(), decision, [], TWO) is decision


@pytest.mark.parametrize(
    ("name", "run", "is_own"),
    [
        (backup_name("policy-uid", "db", TWO), run_label(TWO), True),
        (backup_name("policy-uid", "db", TWO), run_label(TWO + timedelta(hours=1)), False),
        (backup_name("another", "db", TWO), run_label(TWO), False),
        ("copied-by-hand", run_label(TWO), False),
        (backup_name("policy-uid", "db", TWO), "", False),
        (backup_name("policy-uid", "db", datetime(1, 1, 1, tzinfo=UTC)), "yesterday", False),
    ],
)
def test_labels_alone_do_not_make_a_policys_backup(name: str, run: str, is_own: bool) -> None:
    """A VMBackup that somebody copied with its labels does not count in the policy's status, nor hold up its run."""
    assert is_made_by("policy-uid", name=name, vm="db", run=run) == is_own
