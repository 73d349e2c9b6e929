"""Which VMBackups leave the cluster."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.plan.names import backup_labels, backup_name
from safehold.plan.policy.facts import RUN, run_label
from safehold.plan.retention.catalogue import KEPT_FAILURES, CatalogueEntry, entry_of, surplus

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def entry(number: int, *, vm: str = "db", policy: str = "hourly", failed: bool = False) -> CatalogueEntry:
    """The VMBackup that ended so many hours ago."""
    return CatalogueEntry(
        namespace="shop",
        name=f"{vm}-{policy}-{number}",
        uid=f"uid-{number}",
        resource_version="1",
        vm=vm,
        policy=policy,
        run=str(number),
        ended=NOW - timedelta(hours=number),
        restore_point=None if failed else f"point-{number}",
    )


def names(entries: list[CatalogueEntry]) -> list[str]:
    """Their names."""
    return sorted(entry.name for entry in entries)


def test_each_vm_keeps_its_newest() -> None:
    """Those of one VM do not crowd out those of another."""
    entries = [entry(number, vm=vm) for vm in ("db", "web") for number in range(4)]
    assert names(surplus(entries, keep_per_vm=3)) == ["db-hourly-3", "web-hourly-3"]


def test_failures_are_bounded_by_themselves() -> None:
    """A VM that fails again and again keeps its points' VMBackups, and as many failures as the breaker counts."""
    entries = [entry(number, failed=True) for number in range(KEPT_FAILURES + 2)]
    entries += [entry(number) for number in range(100, 103)]
    gone = [f"db-hourly-{number}" for number in range(KEPT_FAILURES, KEPT_FAILURES + 2)]
    assert names(surplus(entries, keep_per_vm=3)) == gone


def test_the_success_before_a_row_of_failures_stays() -> None:
    """Without it the circuit breaker of its policy would count failures that it has forgiven."""
    entries = [entry(number) for number in range(3)] + [entry(50, policy="weekly", failed=True)]
    entries += [entry(60, policy="weekly"), entry(70, policy="weekly", failed=True)]
    assert names(surplus(entries, keep_per_vm=3)) == []


def test_the_last_of_each_policy_stays() -> None:
    """A weekly policy's status tells about its last run, however many hourly ones came after it."""
    entries = [entry(number) for number in range(5)] + [entry(100, policy="weekly"), entry(300, policy="weekly")]
    assert names(surplus(entries, keep_per_vm=2)) == ["db-hourly-2", "db-hourly-3", "db-hourly-4", "db-weekly-300"]


def test_what_a_restore_reads_from_stays() -> None:
    """It goes in a later round."""
    entries = [entry(number) for number in range(4)]
    found = surplus(entries, keep_per_vm=2, in_use={("shop", "db-hourly-3")})
    assert names(found) == ["db-hourly-2"]


@given(
    st.lists(st.builds(lambda number, failed: (number, failed), st.integers(0, 500), st.booleans()), unique=True),
    st.integers(1, 12),
)
def test_what_is_left_is_bounded_and_the_newest(made: list[tuple[int, bool]], keep: int) -> None:
    """Of one VM and one policy at most so many and the bounded failures stay, and never an older one for a newer."""
    entries = [entry(number, failed=failed) for number, failed in dict(made).items()]
    gone = surplus(entries, keep_per_vm=keep)
    left = [found for found in entries if found not in gone]
    assert len(left) <= keep + KEPT_FAILURES
    for succeeded in (True, False):
        of_kind = [found for found in left if (found.restore_point is not None) == succeeded]
        trimmed = [found for found in gone if (found.restore_point is not None) == succeeded]
        assert all(old.ended < new.ended for old in trimmed for new in of_kind)
        assert not trimmed or len(of_kind) >= (keep if succeeded else KEPT_FAILURES)


def backup(*, made_by: str | None = "policy-uid", **changes: Any) -> dict[str, Any]:
    """A finished VMBackup of a policy."""
    labels = {**backup_labels(made_by, "gold", "db"), RUN: run_label(NOW)} if made_by else {}
    name = backup_name("policy-uid", "db", NOW)
    metadata = {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": labels}
    return {
        "metadata": {**metadata, **changes.get("metadata", {})},
        "spec": {
            "vm": {"name": "db"},
            "targetRef": {"kind": "ClusterBackupTarget", "name": "t"},
            **changes.get("spec", {}),
        },
        "status": {"completionTime": NOW.isoformat(), "restorePoint": "point-1", **changes.get("status", {})},
    }


def test_an_entry_names_policy_and_point() -> None:
    """What a policy made and what has ended can be trimmed."""
    found = entry_of(backup())
    assert found is not None
    assert (found.vm, found.policy, found.restore_point) == ("db", "policy-uid", "point-1")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(backup(made_by=None), id="a person's"),
        pytest.param(backup(made_by="another"), id="one with copied labels"),
        pytest.param(backup(spec={"hold": True}), id="held"),
        pytest.param(backup(status={"completionTime": None}), id="active"),
        pytest.param(backup(metadata={"deletionTimestamp": NOW.isoformat()}), id="in deletion"),
    ],
)
def test_what_is_never_trimmed(found: dict[str, Any]) -> None:
    """Objects of people, held, active and going ones are none of the trimming's business."""
    assert entry_of(found) is None
