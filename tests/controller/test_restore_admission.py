"""Restores in place of one VM that are created at the same time, on an API server with Safehold's definitions."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE, SHOP, define, served

from safehold.api import VMRestore
from safehold.controller.memo import Operator
from safehold.controller.restores import RestoreReconciler
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.kube.client import Manifest
from safehold.kube.kinds import (
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    NAMESPACE,
    SECRET,
    STORAGE_CLASS,
    VM,
    VM_BACKUP,
    VM_RESTORE,
    VMI,
    Kind,
)
from safehold.kube.restore.observer import RestoreObserver
from safehold.plan.restore.look import Look

CONDITION = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-11-22T13:00:00Z",
    "reason": "Succeeded",
    "message": "",
}
RESTORE = {"source": {"backup": "orders-1"}, "target": {"mode": "InPlace"}}
ATTEMPTS = 40
"""At finding two restores of one second of which the later comes first; about every second one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowObserver(RestoreObserver):
    """One whose first look before an admission is held up until `goes_on` is set."""

    has_looked: asyncio.Event
    goes_on: asyncio.Event

    async def observe(self, restore: VMRestore, now: datetime) -> Look:
        """What was seen before the delay."""
        look = await RestoreObserver.observe(self, restore, now)
        if restore.status.backup is not None and restore.status.vm is None and not self.has_looked.is_set():
            self.has_looked.set()
            await self.goes_on.wait()
        return look


async def make(operator: Operator, kind: Kind, manifest: Manifest, status: Manifest | None = None) -> Manifest:
    """An object with its status."""
    await served(operator.cluster, kind)
    made = await operator.cluster.create(kind, manifest)
    if status:
        metadata = {key: made["metadata"][key] for key in ("name", "namespace") if key in made["metadata"]}
        await operator.cluster.apply(kind, {"metadata": metadata, "status": status}, subresource="status")
    return made


@pytest.fixture
async def shop(operator: Operator) -> Operator:
    """VM orders with a volume, a point of it, and the target with the point."""
    for kind in (VM, VMI):
        await define(operator.cluster, kind)
    key = {"metadata": {"name": "key", "namespace": OPERATOR_NAMESPACE}}
    await operator.cluster.create(SECRET, {**key, "stringData": {"repository.key": RepositoryKey.generate().text()}})
    await operator.cluster.create(STORAGE_CLASS, {"metadata": {"name": "fast"}, "provisioner": "csi.example"})
    spec = {
        "s3": {"bucket": "backups"},
        "encryption": {"keySecretRef": {"name": "key"}},
        "allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": SHOP}},
    }
    ready = {"conditions": [CONDITION], "repositoryID": "repo", "observedGeneration": 1}
    await make(operator, CLUSTER_BACKUP_TARGET, {"metadata": {"name": "shared"}, "spec": spec}, ready)
    place = {"namespace": SHOP}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
        "volumeMode": "Block",
        "volumeName": "pv-1",
    }
    made = await operator.cluster.create(CLAIM, {"metadata": {"name": "orders-root", **place}, "spec": claim})
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "orders-root"}}]
    template = {"spec": {"domain": {"devices": {}}, "volumes": volumes}}
    machine = {"runStrategy": "Halted", "template": template}
    vm = await make(operator, VM, {"metadata": {"name": "orders", **place}, "spec": machine})
    target = {"kind": "ClusterBackupTarget", "name": "shared"}
    point = {
        "conditions": [CONDITION],
        "restorePoint": "point-1",
        "captureTime": "2026-11-22T13:00:00Z",
        "vmUID": vm["metadata"]["uid"],
        "clusterID": "cluster",
        "namespaceUID": (await operator.cluster.read(NAMESPACE, SHOP))["metadata"]["uid"],
        "target": {**target, "uid": "t", "repositoryID": "repo"},
        "volumes": [
            {
                "name": "root",
                "mode": "Block",
                "claimName": "orders-root",
                "claimUID": made["metadata"]["uid"],
                "capacityBytes": 1 << 30,
                "storageClassName": "fast",
                "accessModes": ["ReadWriteOnce"],
            }
        ],
    }
    backup = {"vm": {"name": "orders"}, "targetRef": target}
    await make(operator, VM_BACKUP, {"metadata": {"name": "orders-1", **place}, "spec": backup}, point)
    await served(operator.cluster, VM_RESTORE)
    return operator


async def create(operator: Operator, name: str) -> Manifest:
    """A VMRestore in place."""
    return await operator.cluster.create(VM_RESTORE, {"metadata": {"name": name, "namespace": SHOP}, "spec": RESTORE})


async def admitted(operator: Operator) -> list[str]:
    """The restores that have taken the VM for themselves."""
    found = await operator.cluster.list(VM_RESTORE, SHOP)
    return [item["metadata"]["name"] for item in found if (item.get("status") or {}).get("vm")]


async def test_of_two_restores_created_in_one_second_one_waits(shop: Operator) -> None:
    """The first has looked and seen nobody when the second, which goes first by its uid, comes: not both begin."""
    for attempt in range(ATTEMPTS):
        observer = SlowObserver(
            cluster=shop.cluster,
            cluster_id="cluster",
            operator_namespace=OPERATOR_NAMESPACE,
            endpoint_rules=shop.endpoint_rules,
            has_looked=asyncio.Event(),
            goes_on=asyncio.Event(),
        )
        reconciler = RestoreReconciler(shop, observer)
        first = await create(shop, f"first-{attempt}")
        early = asyncio.create_task(reconciler.reconcile((SHOP, f"first-{attempt}")))
        await asyncio.wait_for(observer.has_looked.wait(), 60)
        second = await create(shop, f"second-{attempt}")
        met = _age(second) < _age(first)
        if met:
            late = asyncio.create_task(reconciler.reconcile((SHOP, f"second-{attempt}")))
            # Without care it is admitted in this time; with care it waits for the first one's look to end.
            await asyncio.wait({late}, timeout=1)
            observer.goes_on.set()
            await asyncio.gather(early, late)
            assert await admitted(shop) == [f"first-{attempt}"]
            waiting = (await shop.cluster.read(VM_RESTORE, f"second-{attempt}", SHOP))["status"]["conditions"][0]
            assert f"VMRestore first-{attempt} restores VM shop/orders in place" in waiting["message"]
            return
        early.cancel()
        await asyncio.gather(early, return_exceptions=True)
        for name in (f"first-{attempt}", f"second-{attempt}"):
            await shop.cluster.delete(VM_RESTORE, name, SHOP)
    pytest.fail("no two restores of one second came in the wrong order")


def _age(restore: Manifest) -> tuple[str, str]:
    return restore["metadata"]["creationTimestamp"], restore["metadata"]["uid"]
