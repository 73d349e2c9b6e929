"""Which changes of what runs have made lead to a look at the run."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE, SHOP

from safehold.controller.children import follow_children, is_news
from safehold.controller.memo import Operator
from safehold.controller.queue import Key, WorkQueue
from safehold.kube.client import WatchEvent
from safehold.kube.kinds import CLAIM, JOB, POD, VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Kind
from safehold.plan.names import BASE_OF, owner_labels

OWNED = owner_labels("VMBackup", "uid", name="nightly", namespace=SHOP)
OTHER = owner_labels("VMBackup", "other", name="weekly", namespace=SHOP)
GOING = "2026-11-22T14:00:00Z"


@pytest.mark.parametrize(
    ("kind", "event", "metadata", "news"),
    [
        (CLAIM, "DELETED", {}, True),
        (CLAIM, "MODIFIED", {}, True),
        (VOLUME_SNAPSHOT, "MODIFIED", {}, True),
        (VM_SNAPSHOT, "MODIFIED", {}, True),
        (JOB, "MODIFIED", {}, True),
        (POD, "DELETED", {}, True),
        # Its Job tells.
        (POD, "MODIFIED", {}, False),
        # The owner's own doing.
        (CLAIM, "ADDED", {}, False),
        (CLAIM, "MODIFIED", {"deletionTimestamp": GOING}, False),
        (CLAIM, "DELETED", {"deletionTimestamp": GOING}, True),
        # Thousands of bases are listed at a start, of runs that are over.
        (VOLUME_SNAPSHOT, "LISTED", {}, False),
        (VOLUME_SNAPSHOT_CONTENT, "MODIFIED", {"labels": {BASE_OF: "claim"}}, False),
    ],
)
def test_what_an_owner_may_wait_for_is_news(kind: Kind, event: str, metadata: dict[str, Any], news: bool) -> None:
    """Ends and changes by others are; what the owner did itself, and what stays when it is over, is not."""
    told = WatchEvent(event, {"metadata": {"name": "one", "labels": OWNED, **metadata}})
    assert is_news(kind, told) == news


async def test_a_child_that_changes_has_its_owner_looked_at(operator: Operator) -> None:
    """At the owner that its labels name, and at nobody for what is somebody else's; also when it is gone."""
    looks: asyncio.Queue[Key] = asyncio.Queue()
    cluster = operator.cluster

    async def look(key: Key) -> None:
        looks.put_nowait(key)

    async def change(count: int) -> None:
        for claim in ("foreign", "first"):
            patch = {"metadata": {"annotations": {"count": str(count)}}}
            await cluster.merge_patch(CLAIM, claim, OPERATOR_NAMESPACE, patch)

    async def let_go(count: int) -> None:
        await cluster.create(POD, _pod(f"worker-{count}", OTHER))
        await cluster.delete(POD, f"worker-{count}", OPERATOR_NAMESPACE)

    queue = operator.queues["vmbackups"] = WorkQueue("vmbackups", look)
    await cluster.create(CLAIM, _claim("foreign", {}))
    await cluster.create(CLAIM, _claim("first", OWNED))
    tasks = [asyncio.create_task(queue.run()), asyncio.create_task(follow_children(operator))]
    try:
        assert await _looked_at((SHOP, "nightly"), change, looks) == {(SHOP, "nightly")}
        assert (SHOP, "weekly") in await _looked_at((SHOP, "weekly"), let_go, looks)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _looked_at(wanted: Key, act: Callable[[int], Awaitable[None]], looks: asyncio.Queue[Key]) -> set[Key]:
    """All that is looked at until `wanted` is. It acts again and again: before the watches are there, none is seen."""
    found: set[Key] = set()
    for count in range(100):
        await act(count)
        with suppress(TimeoutError):
            while wanted not in found:
                found.add(await asyncio.wait_for(looks.get(), 1))
            return found
    return found


def _claim(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def _pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE, "labels": labels},
        "spec": {"containers": [{"name": "worker", "image": "worker"}]},
    }
