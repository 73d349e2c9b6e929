"""What a run shares with others, and which runs wait without a look."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.plan.backup.objects import new_backup, target

from safehold.api.vmbackup import VMBackup, VMBackupStatus, VolumeBackup
from safehold.plan.backup.facts import BackupFacts, MachineFacts
from safehold.plan.backup.run import BackupRules
from safehold.plan.backup.turn import claim_of, limits_of, wait_unseen, waits_unseen
from safehold.plan.names import POLICY_UID
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
MACHINE = MachineFacts(name="db", uid="vm", disks=(), node="node-1", storage_classes=("fast", "slow"))
RULES = BackupRules(
    operator_namespace="safehold",
    cluster_id="cluster",
    prepare_timeout=timedelta(minutes=30),
    poll_seconds=2.0,
    max_active_runs_per_node=3,
    max_active_runs_by_storage_class={"slow": 1},
)


def facts(**changes: Any) -> BackupFacts:
    """A VM on a node with disks of two classes, and a target for seven runs."""
    known = {"target": replace(target(), max_active_runs=7), "machine": MACHINE, **changes}
    return BackupFacts(namespace_uid="ns", namespace_ending=False, **known)


def backup(status: VMBackupStatus | None = None, **metadata: Any) -> VMBackup:
    """A VMBackup of the shop."""
    found = new_backup()
    return found.model_copy(
        update={"metadata": found.metadata.model_copy(update=metadata), "status": status or VMBackupStatus()}
    )


def test_a_run_takes_a_place_of_its_target_its_node_and_its_storage_classes() -> None:
    """Each limit that somebody has set is the limit of one of these."""
    claim, limits = claim_of(backup(), facts()), limits_of(backup(), facts(), RULES)
    assert claim.pools == limits.keys()
    assert sorted(limit for limit in limits.values() if limit) == [1, 3, 7]
    assert [name for name, limit in limits.items() if limit is None] == ["storage class fast"]


def test_an_active_run_is_counted_by_its_status_alone() -> None:
    """After a restart nothing was looked up yet."""
    volume = VolumeBackup(
        name="root", mode="Block", claim_name="c", claim_uid="u", capacity_bytes=1, storage_class_name="slow"
    )
    status = VMBackupStatus(start_time=NOW, node_name="node-1", volumes=[volume])
    assert (
        claim_of(backup(status)).pools
        == claim_of(backup(), facts(machine=replace(MACHINE, storage_classes=("slow",)))).pools
    )


def test_a_target_that_cannot_be_used_says_nothing_about_its_limit() -> None:
    """The limit that was known before stays."""
    refused = facts(target=Refusal(Reason.TARGET_NOT_READY, "not ready"), machine=None)
    assert limits_of(backup(), refused, RULES) == {}


@pytest.mark.parametrize(
    ("changes", "unseen"),
    [
        ({"labels": {POLICY_UID: "policy"}}, True),
        ({"labels": {}}, False),
        ({"labels": {POLICY_UID: "policy"}, "deletion_timestamp": NOW}, False),
        ({"labels": {POLICY_UID: "policy"}, "status": VMBackupStatus(start_time=NOW)}, False),
    ],
)
def test_only_what_a_policy_made_waits_without_a_look(changes: dict[str, Any], unseen: bool) -> None:
    """A person's mistake is told at once, a deletion is carried out, and a run that has begun goes on."""
    assert waits_unseen(backup(**changes)) is unseen


def test_who_waits_says_so_once() -> None:
    """The second look at a run that waits changes nothing."""
    first = wait_unseen(backup(), RULES, NOW)
    assert (first.status.phase, first.again, first.steps) == ("Pending", None, ())
    again = wait_unseen(backup(first.status), RULES, NOW + timedelta(hours=1))
    assert again.status == first.status
