"""Which VMs no policy backs up, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from safehold.api import BackupPolicy, ClusterBackupPolicy
from safehold.plan.policy.coverage import Uncovered, uncovered


@dataclass(frozen=True)
class Member:
    """A VM or a Namespace, as a roster has it."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


NAMESPACES = [Member("", "shop", {"backup": "yes"}), Member("", "lab")]
DB = Member("shop", "db", {"tier": "gold"})


def policy(name: str = "gold", namespace: str = "shop", *, stalled: str = "", **spec: Any) -> BackupPolicy:
    """A policy of a namespace; `stalled` is the reason for which it starts nothing."""
    return BackupPolicy.model_validate(_object("BackupPolicy", name, namespace, stalled, spec))


def cluster_policy(*, stalled: str = "", **spec: Any) -> ClusterBackupPolicy:
    """A policy of the namespaces with the label `backup=yes`."""
    spec = {"namespaceSelector": {"matchLabels": {"backup": "yes"}}, **spec}
    return ClusterBackupPolicy.model_validate(_object("ClusterBackupPolicy", "all", None, stalled, spec))


def _object(kind: str, name: str, namespace: str | None, stalled: str, spec: dict[str, Any]) -> dict[str, Any]:
    condition = {
        "type": "Stalled",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-22T14:00:00Z",
        "reason": stalled,
        "message": "this is why",
    }
    target = {"kind": "ClusterBackupTarget", "name": "primary"}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedule": "@daily", "targetRef": target, **spec},
        "status": {"conditions": [condition] if stalled else []},
    }


def in_deletion(found: BackupPolicy) -> BackupPolicy:
    """The policy while somebody's finalizer keeps it."""
    metadata = found.metadata.model_copy(update={"deletion_timestamp": datetime(2026, 11, 22, 14, tzinfo=UTC)})
    return found.model_copy(update={"metadata": metadata})


def gaps(*policies: BackupPolicy | ClusterBackupPolicy, vm: Member = DB) -> list[tuple[str, str]]:
    """Reason and sentence about the one VM."""
    return [(one.gap, one.why) for one in uncovered(policies, [vm], NAMESPACES)]


@pytest.mark.parametrize(
    "covering",
    [
        policy(),
        policy(selector={"matchLabels": {"tier": "gold"}}),
        cluster_policy(),
        policy(stalled="NoVMSelected"),
    ],
)
def test_a_policy_that_starts_backups_covers_what_it_matches(covering: BackupPolicy) -> None:
    """Of its namespace, or of those that it selects; that it found no VM the last time is no reason any more."""
    assert gaps(covering) == []
    assert gaps(policy(suspend=True), covering) == []


@pytest.mark.parametrize(
    "other",
    [
        policy(namespace="lab"),
        policy(selector={"matchLabels": {"tier": "silver"}}),
        cluster_policy(namespaceSelector={"matchLabels": {"backup": "no"}}),
    ],
)
def test_what_no_selector_matches_is_covered_by_nobody(other: BackupPolicy) -> None:
    """Another namespace's policy, other labels, and a cluster's policy that does not reach the namespace."""
    assert [gap for gap, _ in gaps(other)] == ["NoPolicy"]


@pytest.mark.parametrize(
    ("idle", "gap", "why"),
    [
        (policy(suspend=True), "Suspended", "BackupPolicy gold matches it, but is suspended"),
        (policy(stalled="InvalidSchedule"), "Stalled", "starts nothing: this is why"),
        (cluster_policy(stalled="TargetNotAllowed"), "Stalled", "ClusterBackupPolicy all matches it"),
        (in_deletion(policy()), "Stalled", "BackupPolicy gold matches it, but is being deleted"),
    ],
)
def test_a_policy_that_starts_nothing_covers_nothing(idle: BackupPolicy, gap: str, why: str) -> None:
    """It is told apart from no policy, with its name and its own reason."""
    ((found, sentence),) = gaps(idle)
    assert found == gap
    assert why in sentence


def test_a_vm_that_opted_out_is_told_apart() -> None:
    """By its label, whatever policies match it."""
    assert [gap for gap, _ in gaps(policy(), vm=Member("shop", "db", {"safehold.dev/exclude": "true"}))] == ["OptedOut"]


def test_each_vm_is_judged_by_itself() -> None:
    """In the order in which they are given."""
    machines = [Member("lab", "a"), DB, Member("lab", "b")]
    found = uncovered([policy()], machines, NAMESPACES)
    assert [(one.namespace, one.vm) for one in found] == [("lab", "a"), ("lab", "b")]
    assert isinstance(found[0], Uncovered)
