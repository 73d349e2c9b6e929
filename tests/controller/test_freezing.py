"""Slots between freeze and thaw: one limit per target, and what a restart finds in the cluster."""

from typing import Any

from tests.controller.conftest import SHOP, define

from safehold.controller.freezing import FreezeSlots, hold_freezes
from safehold.controller.memo import Operator
from safehold.controller.queue import Key
from safehold.kube.kinds import VM_SNAPSHOT
from safehold.plan.names import owner_labels


def key(number: int) -> Key:
    """A VMBackup."""
    return "shop", f"b{number}"


def test_each_target_has_its_own_limit() -> None:
    """Two targets, one guest each; a target without a limit lets all of them freeze."""
    slots = FreezeSlots(lambda _: None)
    assert slots.settle(key(1), "Wanted", target_uid="a", limit=1)
    assert not slots.settle(key(2), "Wanted", target_uid="a", limit=1)
    assert slots.settle(key(3), "Wanted", target_uid="b", limit=1)
    assert all(slots.settle(key(number), "Wanted", target_uid="c", limit=None) for number in (4, 5, 6))


def test_the_one_that_waits_is_called_after_the_thaw() -> None:
    """A run without a claim any more, and one that is gone, give their slot to who waits."""
    called: list[Key] = []
    slots = FreezeSlots(called.append)
    slots.settle(key(1), "Wanted", target_uid="a", limit=1)
    slots.settle(key(2), "Wanted", target_uid="a", limit=1)
    slots.settle(key(1), "Held", target_uid="a", limit=1)
    assert called == []
    slots.settle(key(1), "None", target_uid="a", limit=1)
    assert called == [key(2)]
    assert slots.settle(key(2), "Wanted", target_uid="a", limit=1)
    slots.give(key(2))
    assert slots.settle(key(3), "Wanted", target_uid="a", limit=1)


def test_a_limit_that_was_changed_counts_from_the_next_look() -> None:
    """Raised: one more may freeze. Lowered: nobody is thawed for it, and nobody more is frozen."""
    slots = FreezeSlots(lambda _: None)
    slots.settle(key(1), "Wanted", target_uid="a", limit=1)
    assert slots.settle(key(2), "Wanted", target_uid="a", limit=2)
    assert not slots.settle(key(3), "Wanted", target_uid="a", limit=1)


def _backup(number: int, target: str | None) -> dict[str, Any]:
    status = {"target": {"uid": target}} if target else {}
    return {"metadata": {"namespace": "shop", "name": f"b{number}", "uid": f"uid-{number}"}, "status": status}


async def test_a_new_controller_counts_the_guests_of_the_one_before(operator: Operator) -> None:
    """Snapshots of ours that are not cut yet hold a slot of their run's target, before anything new is begun."""
    cluster = operator.cluster
    await define(cluster, VM_SNAPSHOT)
    for number, phase in ((1, "InProgress"), (2, "Succeeded"), (3, None)):
        labels = owner_labels("VMBackup", f"uid-{number}", name=f"b{number}", namespace="shop")
        metadata = {"name": f"s{number}", "namespace": SHOP, "labels": labels}
        await cluster.create(VM_SNAPSHOT, {"metadata": metadata, "status": {"phase": phase} if phase else {}})
    slots = FreezeSlots(lambda _: None)
    await hold_freezes(cluster, [_backup(1, "a"), _backup(2, "a"), _backup(3, "b"), _backup(4, None)], slots)
    assert not slots.settle(key(9), "Wanted", target_uid="a", limit=1)
    assert not slots.settle(key(9), "Wanted", target_uid="b", limit=1)
    assert slots.settle(key(2), "Wanted", target_uid="c", limit=1)


async def test_a_controller_starts_where_kubevirt_is_not_installed(operator: Operator) -> None:
    """Nothing can be frozen there."""
    await hold_freezes(operator.cluster, [_backup(1, "a")], FreezeSlots(lambda _: None))
