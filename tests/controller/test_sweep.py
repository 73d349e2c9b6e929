"""What the sweep takes away, and whom it looks at, on an API server with Safehold's definitions."""

import asyncio
from dataclasses import replace

from tests.controller.conftest import OPERATOR_NAMESPACE, SHOP, define, served

from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics
from safehold.controller.queue import Key, WorkQueue
from safehold.controller.sweep import look_at_everything, sweep, sweep_forever
from safehold.kube.kinds import (
    BACKUP_TARGET,
    SECRET,
    VM,
    VM_BACKUP,
    VM_RESTORE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.plan.names import owner_labels

RESTORE_SPEC = {"source": {"backup": "one"}, "target": {"mode": "InPlace"}}
TARGET_REF = {"kind": "BackupTarget", "name": "own"}


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
    task = asyncio.create_task(sweep_forever(replace(operator, settings=settings), metrics))
    async with asyncio.timeout(20):
        while True:
            if metrics.registry.get_sample_value("safehold_controller_last_round_timestamp_seconds"):
                break
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert metrics.registry.get_sample_value("safehold_uncovered_machines", {"reason": "NoPolicy"}) == 1


async def test_runs_that_are_over_are_not_looked_at(operator: Operator) -> None:
    """A round looks at every target and unfinished run, and leaves the many that are over alone."""
    cluster = operator.cluster
    looked: list[Key] = []
    done = asyncio.Event()

    async def look(key: Key) -> float | None:
        looked.append(key)
        done.set()
        return None

    await served(cluster, VM_RESTORE)
    await served(cluster, BACKUP_TARGET)
    for name in ("over", "active"):
        spec = {"vm": {"name": "db"}, "targetRef": TARGET_REF, "hold": name == "over"}
        await cluster.create(VM_BACKUP, {"metadata": {"name": name, "namespace": SHOP}, "spec": spec})
    over = {"metadata": {"name": "over", "namespace": SHOP}, "status": {"completionTime": "2026-11-22T13:00:00Z"}}
    await cluster.apply(VM_BACKUP, over, subresource="status")
    queue = operator.queues[VM_BACKUP.plural] = WorkQueue(VM_BACKUP.plural, look)
    assert await look_at_everything(operator) == 1, "one VMBackup holds its point"
    task = asyncio.create_task(queue.run())
    await asyncio.wait_for(done.wait(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert looked == [(SHOP, "active")]
