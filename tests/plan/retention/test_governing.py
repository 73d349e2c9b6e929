"""What a policy's `retention` means to a worker, and what its answer says in the policy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api import BackupPolicy
from safehold.plan.retention.governing import FORESEEN_RUNS, governing_rules, preview
from safehold.report import RetentionLine

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def policy(**spec: Any) -> BackupPolicy:
    """A daily policy at noon in Berlin."""
    common = {"schedule": "0 12 * * *", "timeZone": "Europe/Berlin", "targetRef": {"kind": "BackupTarget", "name": "t"}}
    return BackupPolicy.model_validate(
        {"metadata": {"name": "gold", "namespace": "shop", "uid": "policy-uid"}, "spec": {**common, **spec}}
    )


def test_rules_reach_the_worker_as_they_are_written() -> None:
    """Counts, times, the zone of the periods, and the runs to come."""
    written = {
        "keepLast": 3,
        "keepWithin": "1d12h",
        "keepYearly": 9,
        "minimumAge": "14d",
        "afterVMDeleted": "Delete",
    }
    (rules,) = governing_rules(policy(retention=written), "namespace-uid", NOW)
    assert (rules.policy, rules.time_zone, rules.tier) == ("policy-uid", "Europe/Berlin", "")
    assert (rules.name, rules.namespace_uid) == ("BackupPolicy/gold", "namespace-uid")
    assert (rules.keep_last, rules.keep_daily, rules.keep_yearly) == (3, 0, 9)
    assert (rules.keep_within, rules.minimum_age) == (timedelta(hours=36), timedelta(days=14))
    assert (rules.after_vm_deleted, rules.deleted_vm_grace) == ("Delete", timedelta(days=30))
    assert rules.runs[0] == NOW.replace(hour=11) + timedelta(days=1)
    assert len(rules.runs) == FORESEEN_RUNS


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="no retention"),
        pytest.param({"retention": {"keepLast": 1}, "timeZone": "Mars/Olympus"}, id="unknown zone"),
        pytest.param({"retention": {"keepLast": 1}, "schedule": "0 25 * * *"}, id="unknown schedule"),
    ],
)
def test_what_cannot_be_understood_lets_nothing_go(spec: dict[str, Any]) -> None:
    """Without rules every point of the policy stays."""
    assert governing_rules(policy(**spec), "", NOW) == []


def test_a_suspended_policy_keeps_by_its_rules_and_foresees_no_run() -> None:
    """Points that are there stay the newest, so none goes."""
    (rules,) = governing_rules(policy(suspend=True, retention={"keepLast": 1}), "", NOW)
    assert (rules.keep_last, rules.runs) == (1, [])


def test_tiers_have_rules_of_their_own() -> None:
    """With their own runs; those without share the policy's, whose runs are those of all of them."""
    tiers = [
        {"name": "weekly", "schedule": "0 12 * * SUN", "retention": {"keepWeekly": 52}},
        {"name": "daily", "schedule": "0 12 * * *"},
        {"name": "hourly", "schedule": "0 * * * *"},
    ]
    found = policy(retention={"keepWithin": "2d"}, schedules=tiers, schedule=None)
    shared, weekly = governing_rules(found, "", NOW)
    assert (shared.tier, shared.keep_within, shared.keep_weekly) == ("", timedelta(days=2), 0)
    assert (weekly.tier, weekly.keep_within, weekly.keep_weekly) == ("weekly", None, 52)
    assert shared.runs[:2] == [NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
    assert weekly.runs[0] == NOW.replace(day=29, hour=11)
    assert len(weekly.runs) == len(shared.runs) == FORESEEN_RUNS


def test_of_tiers_alone_only_theirs_are_governed() -> None:
    """Without `retention` of the policy, points of other tiers stay."""
    tiers = [
        {"name": "weekly", "schedule": "@weekly", "retention": {"keepLast": 1}},
        {"name": "d", "schedule": "@daily"},
    ]
    assert [rules.tier for rules in governing_rules(policy(schedules=tiers, schedule=None), "", NOW)] == ["weekly"]


def test_a_preview_tells_the_next_ten_of_this_policy() -> None:
    """In the order in which they go, and how many went."""

    def line(number: int, *, policy: str = "policy-uid", forgotten: bool = False) -> RetentionLine:
        at = NOW + timedelta(days=number)
        return RetentionLine(
            run_id="r",
            policy=policy,
            tier="weekly",
            namespace="shop",
            vm="db",
            restore_point=f"point-{number}",
            captured=at - timedelta(days=30),
            at=at,
            reason="newer points use up keepLast 30",
            forgotten=forgotten,
        )

    lines = [line(number) for number in range(12, 0, -1)]
    lines += [line(0, policy="other"), line(-1, forgotten=True), line(-2, forgotten=True)]
    found = preview("policy-uid", lines, NOW)
    assert (found.time, found.forgotten_points) == (NOW, 2)
    assert [deletion.restore_point for deletion in found.next] == [f"point-{number}" for number in range(1, 11)]
    assert found.next[0].to_wire() == {
        "vm": "shop/db",
        "restorePoint": "point-1",
        "tier": "weekly",
        "captureTime": "2026-10-25T12:00:00Z",
        "deletionTime": "2026-11-24T12:00:00Z",
        "reason": "newer points use up keepLast 30",
    }
