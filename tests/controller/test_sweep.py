"""What the sweep takes away, and whom it looks at, on an API server with Safehold's definitions."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE, SHOP, define, served

from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics
from safehold.controller.queue import Key, WorkQueue
from safehold.controller.sweep import is_over, look_at_everything, sweep, sweep_forever
from safehold.kube.client import Manifest
from safehold.kube.kinds import (
    BACKUP_TARGET,
    SECRET,
    VM,
    VM_BACKUP,
    VM_RESTORE,
    VM_SNAPSHOT,
    VOLUME,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.kube.restore.kept import remove_overdue
from safehold.plan.names import KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY, UNDO_OF, owner_labels

RESTORE_SPEC = {"source": {"backup": "one"}, "target": {"mode": "InPlace"}}
TARGET_REF = {"kind": "BackupTarget", "name": "own"}


def nobody(_: Manifest) -> bool:
    """No VMBackup waits in line."""
    return False


async def test_what_restores_and_targets_left_goes_when_they_are_gone(operator: Operator) -> None:
    """Secrets with credentials of a VMRestore or target that is gone are removed, others stay."""
    cluster = operator.cluster
    for kind in (VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, VM_SNAPSHOT):
        await define(cluster, kind)
    await served(cluster, VM_RESTORE)
    metadata = {"name": "living", "namespace": SHOP}
    living = (await cluster.create(VM_RESTORE, {"metadata": metadata, "spec": RESTORE_SPEC}))["metadata"]["uid"]
    for owner, uid in (("VMRestore", living), ("VMRestore", "gone"), ("BackupTarget", "gone-too")):
        labels = owner_labels(owner, uid, name="any", namespace=SHOP)
        meta = {"name": f"of-{uid}", "namespace": OPERATOR_NAMESPACE, "labels": labels}
        await cluster.create(SECRET, {"metadata": meta})
    foreign = {"name": "foreign", "namespace": OPERATOR_NAMESPACE}
    await cluster.create(SECRET, {"metadata": foreign})
    await sweep(cluster, operator_namespace=OPERATOR_NAMESPACE)
    found = await cluster.list(SECRET, OPERATOR_NAMESPACE)
    assert {item["metadata"]["name"] for item in found} == {f"of-{living}", "foreign"}


async def test_a_round_counts_who_is_left_out_and_tells_that_it_ended(operator: Operator) -> None:
    """Which VMs no policy backs up, and when the last round was."""
    cluster, metrics = operator.cluster, Metrics()
    for kind in (VM, VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT):
        await define(cluster, kind)
    await cluster.create(VM, {"metadata": {"name": "web", "namespace": SHOP}})
    await served(cluster, VM_RESTORE)
    metrics.registry.register(operator.figures)
    settings = operator.settings.model_copy(update={"group_snapshots": False})
    task = asyncio.create_task(sweep_forever(replace(operator, settings=settings), metrics, nobody))
    async with asyncio.timeout(180):
        while True:
            if metrics.registry.get_sample_value("safehold_controller_last_round_timestamp_seconds"):
                break
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert metrics.registry.get_sample_value("safehold_uncovered_machines", {"reason": "NoPolicy"}) == 1


KEPT = {"completionTime": "2026-11-22T13:00:00Z", "undoUntil": "2026-11-29T13:00:00Z"}
AFTERLIVES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"completionTime": "2026-11-22T13:00:00Z"}, True),
    ({}, {}, False),
    ({}, KEPT, False),
    ({}, {**KEPT, "removalTime": "2026-11-29T13:00:00Z"}, True),
    ({"undo": True}, {**KEPT, "removalTime": "2026-11-29T13:00:00Z"}, False),
    ({"undo": True}, {**KEPT, "removalTime": "x", "undoEndTime": "2026-11-23T13:00:00Z"}, True),
    ({"ttlSecondsAfterFinished": 5}, {"completionTime": "2026-11-22T13:00:00Z"}, False),
]


@pytest.mark.parametrize(("spec", "status", "over"), AFTERLIVES)
def test_a_restore_is_over_when_nothing_of_it_is_to_come(
    spec: dict[str, Any], status: dict[str, Any], over: bool
) -> None:
    """One that keeps volumes, is to be undone, or is to be deleted in time is looked at after its end as well."""
    assert is_over({"metadata": {}, "spec": {**RESTORE_SPEC, **spec}, "status": status}) is over


async def test_what_a_restore_kept_goes_in_time_without_it(operator: Operator) -> None:
    """Past its time a volume whose VMRestore is gone gets its policy back and its snapshot goes; others stay."""
    cluster = operator.cluster
    await define(cluster, VM_SNAPSHOT)
    await served(cluster, VM_RESTORE)
    metadata = {"name": "living", "namespace": SHOP}
    living = (await cluster.create(VM_RESTORE, {"metadata": metadata, "spec": RESTORE_SPEC}))["metadata"]["uid"]
    past, future = "2026-11-22T13:59:00+00:00", "2026-11-22T14:01:00+00:00"
    for name, owner, until in (
        ("overdue", "gone", past),
        ("early", "gone", future),
        ("held", living, past),
        ("failed", "gone", None),
    ):
        marks = {KEPT_UNTIL: until, ORIGINAL_RECLAIM_POLICY: "Delete"} if until else {}
        meta = {"name": name, "labels": {UNDO_OF: owner}, "annotations": marks}
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": "csi.example", "volumeHandle": name},
        }
        await cluster.create(VOLUME, {"metadata": meta, "spec": spec})
        await cluster.create(VM_SNAPSHOT, {"metadata": {**meta, "namespace": SHOP}})
    await remove_overdue(cluster, operator.now())
    volumes = {found["metadata"]["name"]: found for found in await cluster.list(VOLUME)}
    policies = {name: found["spec"]["persistentVolumeReclaimPolicy"] for name, found in volumes.items()}
    assert policies == {"overdue": "Delete", "early": "Retain", "held": "Retain", "failed": "Retain"}
    assert UNDO_OF not in (volumes["overdue"]["metadata"].get("labels") or {})
    assert KEPT_UNTIL not in (volumes["overdue"]["metadata"].get("annotations") or {})
    snapshots = {found["metadata"]["name"] for found in await cluster.list(VM_SNAPSHOT, SHOP)}
    assert snapshots == {"early", "held", "failed"}


async def test_runs_that_are_over_or_wait_are_not_looked_at(operator: Operator) -> None:
    """A round looks at every target and unfinished run, and leaves the many alone that are over or in line."""
    cluster = operator.cluster
    looked: list[Key] = []
    done = asyncio.Event()

    async def look(key: Key) -> float | None:
        looked.append(key)
        done.set()
        return None

    await served(cluster, VM_RESTORE)
    await served(cluster, BACKUP_TARGET)
    for name in ("over", "active", "waiting"):
        spec = {"vm": {"name": "db"}, "targetRef": TARGET_REF, "hold": name == "over"}
        await cluster.create(VM_BACKUP, {"metadata": {"name": name, "namespace": SHOP}, "spec": spec})
    over = {"metadata": {"name": "over", "namespace": SHOP}, "status": {"completionTime": "2026-11-22T13:00:00Z"}}
    await cluster.apply(VM_BACKUP, over, subresource="status")
    queue = operator.queues[VM_BACKUP.plural] = WorkQueue(VM_BACKUP.plural, look)
    held = await look_at_everything(operator, lambda found: found["metadata"]["name"] == "waiting")
    assert held == 1, "one VMBackup holds its point"
    task = asyncio.create_task(queue.run())
    await asyncio.wait_for(done.wait(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert looked == [(SHOP, "active")]
