"""What a policy's `retention` means to a worker, and what its answer says in the policy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api import BackupPolicy
from safehold.plan.retention.governing import FORESEEN_RUNS, governing_rules, preview
from safehold.run import RetentionLine

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def policy(**spec: Any) -> BackupPolicy:
    """A daily policy at noon in Berlin."""
    common = {"schedule": "0 12 * * *", "timeZone": "Europe/Berlin", "targetRef": {"kind": "BackupTarget", "name": "t"}}
    return BackupPolicy.model_validate(
        {"metadata": {"name": "gold", "namespace": "shop", "uid": "policy-uid"}, "spec": {**common, **spec}}
    )


def test_rules_reach_the_worker_as_they_are_written() -> None:
    """Counts, times, the zone of the periods, and the runs to come."""
    rules = governing_rules(
        policy(
            retention={
                "keepLast": 3,
                "keepWithin": "1d12h",
                "keepYearly": 9,
                "minimumAge": "14d",
                "afterVMDeleted": "Delete",
            }
        ),
        NOW,
    )
    assert rules is not None
    assert (rules.policy, rules.time_zone) == ("policy-uid", "Europe/Berlin")
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
    assert governing_rules(policy(**spec), NOW) is None


def test_a_suspended_policy_keeps_by_its_rules_and_foresees_no_run() -> None:
    """Points that are there stay the newest, so none goes."""
    rules = governing_rules(policy(suspend=True, retention={"keepLast": 1}), NOW)
    assert rules is not None
    assert (rules.keep_last, rules.runs) == (1, [])


def test_a_preview_tells_the_next_ten_of_this_policy() -> None:
    """In the order in which they go, and how many went."""

    def line(number: int, *, policy: str = "policy-uid", forgotten: bool = False) -> RetentionLine:
        at = NOW + timedelta(days=number)
        return RetentionLine(
            run_id="r",
            policy=policy,
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
        "captureTime": "2026-10-25T12:00:00Z",
        "deletionTime": "2026-11-24T12:00:00Z",
        "reason": "newer points use up keepLast 30",
    }
