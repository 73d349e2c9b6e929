"""A run of which some VMBackups are refused by the cluster, and VMBackups that only look like the policy's."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.plan.policy.test_decision import TWO, facts, made, policy

from safehold.api import VMBackup
from safehold.plan.conditions import STALLED, is_true
from safehold.plan.names import POLICY_UID, backup_name
from safehold.plan.policy.decision import next_run, with_refusals
from safehold.plan.policy.facts import POLICY_KIND, RUN, is_made_by, policy_name_of, run_label
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

QUOTA = Refusal(Reason.FORBIDDEN, "exceeded quota: no more VMBackups in shop")


def test_a_refused_backup_is_tried_again_for_that_vm_only() -> None:
    """The condition says why until it is tried again; the others go on, and nothing is created twice."""
    first = policy()
    begun = first.model_copy(update={"status": next_run(first, facts(), TWO - timedelta(minutes=1)).status})
    decided = next_run(begun, facts(), TWO)
    decision = with_refusals(begun, decided, [(decided.create[1], QUOTA)], TWO)
    assert is_true(decision.status.conditions, STALLED)
    assert "exceeded quota" in decision.status.conditions[0].message
    assert decision.again == timedelta(seconds=15)
    later = begun.model_copy(update={"status": decision.status})
    db = made("db", TWO, finished=False)
    soon = next_run(later, facts(db), TWO + timedelta(seconds=5))
    assert soon.create == ()
    assert soon.status.conditions == decision.status.conditions
    again = next_run(later, facts(db), TWO + timedelta(seconds=15))
    assert [backup.vm for backup in again.create] == ["web"]
    assert again.status.last_schedule_time == TWO
    assert not is_true(again.status.conditions, STALLED)


def test_a_run_without_refusals_is_as_decided() -> None:
    """Nothing is refused: nothing changes."""
    decision = next_run(policy(), facts(), TWO)
    assert with_refusals(policy(), decision, [], TWO) is decision


def test_a_point_knows_the_name_of_its_policy_where_its_backup_tells_the_kind() -> None:
    """Labels that somebody copied say nothing, and neither do those of an earlier release, which lack the kind."""
    created = next_run(policy(), facts(), TWO).create[0]

    def backup(**labels: str | None) -> VMBackup:
        kept = {key: value for key, value in {**created.labels, **labels}.items() if value is not None}
        metadata = {"name": created.name, "namespace": "shop", "labels": kept}
        return VMBackup.model_validate({"metadata": metadata, "spec": created.spec})

    assert policy_name_of(backup()) == "BackupPolicy/gold"
    assert policy_name_of(backup(**{POLICY_UID: "another"})) == ""
    assert policy_name_of(backup(**{POLICY_KIND: None})) == ""


@pytest.mark.parametrize(
    ("name", "run", "is_own"),
    [
        (backup_name("policy-uid", "db", TWO), run_label(TWO), True),
        (backup_name("policy-uid", "db", TWO, "weekly"), run_label(TWO), False),
        (backup_name("policy-uid", "db", TWO), run_label(TWO + timedelta(hours=1)), False),
        (backup_name("another", "db", TWO), run_label(TWO), False),
        ("copied-by-hand", run_label(TWO), False),
        (backup_name("policy-uid", "db", TWO), "", False),
        (backup_name("policy-uid", "db", datetime(1, 1, 1, tzinfo=UTC)), "yesterday", False),
    ],
)
def test_labels_alone_do_not_make_a_policys_backup(name: str, run: str, is_own: bool) -> None:
    """A VMBackup that somebody copied with its labels does not count in the policy's status, nor hold up its run."""
    assert is_made_by("policy-uid", name=name, vm="db", labels={RUN: run}) == is_own
