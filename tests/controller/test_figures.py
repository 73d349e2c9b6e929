"""What Prometheus is told about policies and targets."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from safehold.api import BackupPolicy, ClusterBackupTarget
from safehold.api.policy import BackupPolicyStatus
from safehold.controller.figures import Figures
from safehold.plan.policy.facts import PolicyDecision

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
POLICY = {"kind": "BackupPolicy", "namespace": "shop", "policy": "gold"}
TARGET = {"kind": "ClusterBackupTarget", "namespace": "", "target": "primary"}
TARGET_REF = {"kind": "ClusterBackupTarget", "name": "primary"}


def registry(figures: Figures) -> CollectorRegistry:
    """Where Prometheus asks."""
    found = CollectorRegistry()
    found.register(figures)
    return found


def policy(**spec: Any) -> BackupPolicy:
    """A policy of the shop."""
    wanted = {"schedule": "@daily", "targetRef": TARGET_REF, **spec}
    return BackupPolicy.model_validate({"metadata": {"name": "gold", "namespace": "shop"}, "spec": wanted})


def condition(status: str) -> dict[str, Any]:
    """Ready, or not."""
    told = {"observedGeneration": 1, "lastTransitionTime": NOW.isoformat(), "reason": "Why", "message": "why"}
    return {"type": "Ready", "status": status, **told}


def decision(missed: tuple[str, ...] = (), **status: Any) -> PolicyDecision:
    """A look at the policy."""
    return PolicyDecision(status=BackupPolicyStatus.model_validate(status), missed=missed)


def target(**status: Any) -> ClusterBackupTarget:
    """A target with that status."""
    spec = {"s3": {"bucket": "backups"}, "encryption": {"keySecretRef": {"name": "key"}}}
    return ClusterBackupTarget.model_validate({"metadata": {"name": "primary"}, "spec": spec, "status": status})


def test_a_policys_numbers_are_those_of_its_status() -> None:
    """Counts, the next run, and the point in time of the VM that is worst off."""
    figures = Figures()
    delayed = [
        {"name": "db", "failures": 3, "until": NOW.isoformat()},
        {"name": "web", "failures": 0, "until": NOW.isoformat()},
    ]
    seen = decision(
        matchedMachines=5,
        overdueMachines=2,
        delayedMachines=delayed,
        nextScheduleTime=NOW.isoformat(),
        conditions=[condition("True")],
    )
    figures.show_policy(policy(), seen, [NOW, NOW - timedelta(hours=3)])
    found = registry(figures)
    numbers = {
        "matched_machines": 5,
        "overdue_machines": 2,
        "delayed_machines": 1,
        "ready": 1,
        "suspended": 0,
        "next_run_timestamp_seconds": NOW.timestamp(),
        "oldest_point_timestamp_seconds": (NOW - timedelta(hours=3)).timestamp(),
        "excluded_machines": None,
    }
    for name, number in numbers.items():
        assert found.get_sample_value(f"safehold_policy_{name}", POLICY) == number, name


def test_missed_starts_add_up() -> None:
    """Each look tells only those that it found."""
    figures = Figures()
    for missed in (("db", "web"), (), ("db",)):
        figures.show_policy(policy(), decision(missed), [])
    assert registry(figures).get_sample_value("safehold_policy_missed_starts_total", POLICY) == 3


def test_a_suspended_policy_is_told_apart() -> None:
    """It is ready, and nobody of it is counted as behind."""
    figures = Figures()
    figures.show_policy(policy(suspend=True), decision(conditions=[condition("True")]), [])
    found = registry(figures)
    assert found.get_sample_value("safehold_policy_suspended", POLICY) == 1
    assert found.get_sample_value("safehold_policy_overdue_machines", POLICY) is None


def test_a_targets_maintenance_is_told() -> None:
    """When it is due, what it left, and whether it failed; a target without one has no such sample."""
    figures = Figures()
    upkeep = {
        "nextTime": NOW.isoformat(),
        "points": 9,
        "ungovernedPoints": 2,
        "pointsOfDeletedMachines": 1,
        "forgottenPoints": 4,
        "failure": {"reason": "JobFailed", "message": "m"},
    }
    figures.show_target(target(maintenance=upkeep, conditions=[condition("False")]))
    found = registry(figures)
    numbers = {
        "ready": 0,
        "points": 9,
        "ungoverned_points": 2,
        "points_of_deleted_machines": 1,
        "forgotten_points": 4,
        "maintenance_failed": 1,
        "next_maintenance_timestamp_seconds": NOW.timestamp(),
        "last_maintenance_timestamp_seconds": None,
    }
    for name, number in numbers.items():
        assert found.get_sample_value(f"safehold_target_{name}", TARGET) == number, name


def test_what_is_gone_has_no_numbers() -> None:
    """An alert about a policy that was deleted would never end."""
    figures = Figures()
    figures.show_policy(policy(), decision(matchedMachines=5), [])
    figures.show_target(target())
    figures.drop("BackupPolicy", ("shop", "gold"))
    figures.drop("ClusterBackupTarget", ("", "primary"))
    assert [sample for family in registry(figures).collect() for sample in family.samples] == []


def test_the_census_counts_every_reason() -> None:
    """Also with 0, so that an alert ends when the last VM is covered."""
    figures = Figures()
    figures.show_census(["NoPolicy", "NoPolicy", "OptedOut"], held=2)
    found = registry(figures)
    counted = {
        gap: found.get_sample_value("safehold_uncovered_machines", {"reason": gap})
        for gap in ("NoPolicy", "OptedOut", "Suspended", "Stalled")
    }
    assert counted == {"NoPolicy": 2, "OptedOut": 1, "Suspended": 0, "Stalled": 0}
    assert found.get_sample_value("safehold_held_backups") == 2
