"""All storage controllers in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import CRD, Kind
from sandbox.cluster.waiting import wait_until
from sandbox.csi.binder import RESYNC_SECONDS, Binder
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver
from sandbox.csi.manifests import CLASSES, SNAPSHOT_CRDS
from sandbox.csi.protection import Protection
from sandbox.csi.provisioner import SWEEP_SECONDS, Provisioner
from sandbox.csi.resizer import Resizer
from sandbox.csi.snapshot_controller import SnapshotController
from sandbox.csi.snapshotter import Snapshotter


async def install(cluster: Cluster) -> None:
    """Creates the CRDs and classes that are missing; waits until the CRDs are served."""
    for manifest in SNAPSHOT_CRDS:
        await _ensure(cluster, CRD, manifest)
    for manifest in SNAPSHOT_CRDS:
        await wait_until(cluster, CRD, manifest["metadata"]["name"], reached=_established)
    for kind, manifest in CLASSES:
        await _ensure(cluster, kind, manifest)


@asynccontextmanager
async def running_storage(
    kubeconfig: Path, root: Path, *, resync_seconds: float = RESYNC_SECONDS, sweep_seconds: float = SWEEP_SECONDS
) -> AsyncIterator[None]:
    """Storage for the time of the context, over the volumes under `root`; entered once it is installed and ready."""
    async with Cluster.connect(kubeconfig, "sandbox-csi") as cluster, asyncio.TaskGroup() as tasks:
        await install(cluster)
        caches, driver = Caches.of(cluster), await asyncio.to_thread(Driver, root)
        protection = Protection(cluster, caches)
        parts = (
            caches.run(),
            Binder(cluster, caches, resync_seconds).run(),
            protection.run_for_claims(),
            protection.run_for_volumes(),
            Provisioner(cluster, caches, driver, sweep_seconds).run(),
            Resizer(cluster, caches, driver).run(),
            SnapshotController(cluster, caches).run(),
            Snapshotter(cluster, caches, driver).run(),
        )
        running = [tasks.create_task(part) for part in parts]
        for informer in caches.all():
            await informer.synced.wait()
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def _ensure(cluster: Cluster, kind: Kind, manifest: Object) -> None:
    with suppress(AlreadyExistsError):
        await cluster.create(kind, manifest)


def _established(crd: Object | None) -> bool:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
