"""Points that VMBackups do not tell of: where the catalogue has gaps, the bucket is asked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.restore.objects import CLUSTER, NOW, SHOP, backup, restore

from safehold.api import VMBackup
from safehold.plan.refusal import Refusal
from safehold.plan.restore.point.source import Inquiry, SourceFacts, choose
from safehold.plan.tenancy import RESTORE_FROM, NamespaceFacts

OWN = NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={})
HOURS = 10
"""The points of the series are of every hour from so many hours ago; number 1 is the oldest."""


def point(number: int, *, verified: bool = True, **status: Any) -> VMBackup:
    """The VMBackup of one point of the series."""
    made = backup(f"orders-{number}", restorePoint=f"0123456789abcdef-{number:06}-fedcba9876543210", **status)
    captured = NOW - timedelta(hours=HOURS - number)
    engine = "Scan" if verified else "CSI"
    volumes = [volume.model_copy(update={"engine": engine}) for volume in made.status.volumes]
    changed = made.status.model_copy(update={"capture_time": captured, "volumes": volumes})
    return made.model_copy(update={"status": changed})


def answer(points: list[VMBackup], **source: Any) -> str:
    """The name of the chosen VMBackup; `bucket`, or the reason why there is none."""
    facts = SourceFacts(cluster_id=CLUSTER, own=OWN, source=OWN, backups=points, vm_uid="vm-uid")
    found = choose(restore(source={"vm": "orders", **source}), facts)
    if isinstance(found, Inquiry):
        return "bucket"
    return found.reason.value if isinstance(found, Refusal) else found.metadata.name


def hours_ago(hours: float) -> str:
    """A time as users write it."""
    return (NOW - timedelta(hours=hours)).isoformat()


@pytest.mark.parametrize(
    ("points", "source", "expected"),
    [
        ([point(4), point(5)], {}, "orders-5"),
        ([point(4), point(5)], {"before": hours_ago(5.5)}, "orders-4"),
        ([point(4), point(6)], {"before": hours_ago(4.5)}, "bucket"),
        ([point(4), point(5)], {"before": hours_ago(6.5)}, "bucket"),
        ([point(1), point(2)], {"before": hours_ago(9.5)}, "PointNotFound"),
        ([point(4), point(5, verified=False)], {"verified": "Prefer"}, "orders-4"),
        ([point(4), point(5, verified=False)], {"verified": "Require"}, "orders-4"),
        ([point(4), point(6, verified=False)], {"verified": "Require"}, "bucket"),
        ([point(1, verified=False), point(2, verified=False)], {"verified": "Require"}, "PointNotFound"),
        ([point(1, verified=False), point(2, verified=False)], {"verified": "Prefer"}, "orders-2"),
        ([point(2, verified=False)], {"verified": "Prefer"}, "bucket"),
        ([point(4), point(5)], {"target": {"kind": "ClusterBackupTarget", "name": "primary"}}, "bucket"),
    ],
)
def test_the_catalogue_answers_where_it_is_whole(points: list[VMBackup], source: dict[str, Any], expected: str) -> None:
    """Numbers that are missing between what was chosen and what was asked for send the question to the bucket."""
    assert answer(points, **source) == expected


@given(
    kept=st.sets(st.integers(1, HOURS), min_size=1),
    unverified=st.sets(st.integers(1, HOURS)),
    before=st.integers(0, HOURS),
    verified=st.sampled_from([None, "Prefer", "Require"]),
)
def test_the_catalogue_never_hides_a_better_point(
    kept: set[int], unverified: set[int], before: int, verified: str | None
) -> None:
    """Whatever was trimmed, a VMBackup is chosen only where the whole series would give the same point."""
    source = {"before": hours_ago(before - 0.5), **({"verified": verified} if verified else {})}
    whole = [point(number, verified=number not in unverified) for number in range(1, HOURS + 1)]
    trimmed = [found for number, found in enumerate(whole, start=1) if number in kept]
    chosen = answer(trimmed, **source)
    if chosen != "bucket" and max(kept) == HOURS:
        assert chosen == answer(whole, **source)


def test_a_point_that_goes_with_its_backup_is_not_restored() -> None:
    """A VMBackup that is being deleted with Delete is refused by name and passed over otherwise; a hold keeps it.

    It is no longer Ready while its point is forgotten, which is no reason to wait for it.
    """
    going = point(5)
    metadata = going.metadata.model_copy(update={"deletion_timestamp": NOW})
    spec = going.spec.model_copy(update={"deletion_policy": "Delete"})
    going = going.model_copy(update={"metadata": metadata, "spec": spec})
    held = going.model_copy(update={"spec": spec.model_copy(update={"hold": True})})
    facts = SourceFacts(cluster_id=CLUSTER, own=OWN, source=OWN, backups=[going], vm_uid="vm-uid")
    forgetting = going.model_copy(update={"status": going.status.model_copy(update={"conditions": []})})
    for found in (going, forgetting):
        refused = choose(restore(source={"backup": "orders-5"}), replace(facts, backups=[found]))
        assert isinstance(refused, Refusal)
        assert refused.reason.value == "PointPruned"
    assert answer([point(4), going]) == "orders-4"
    assert answer([point(4), held]) == "orders-5"


def test_of_a_namespace_that_is_gone_only_a_point_by_its_id_is_left() -> None:
    """The name alone says nothing: with the consent that is needed anyway, the point has to be named."""
    wanted = restore(
        source={"vm": "orders", "namespace": "gone", "target": {"kind": "ClusterBackupTarget", "name": "x"}}
    )
    own = NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={RESTORE_FROM: f"{CLUSTER}/gone"})
    refused = choose(wanted, SourceFacts(cluster_id=CLUSTER, own=own, source=None, backups=[], vm_uid=None))
    assert isinstance(refused, Refusal)
    assert "spec.source.point" in refused.message
