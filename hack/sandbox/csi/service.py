"""All storage controllers in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from sandbox.cluster.client import Cluster
from sandbox.cluster.definitions import install_definitions
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.csi.binder import RESYNC_SECONDS, Binder
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver
from sandbox.csi.group_controller import GroupController
from sandbox.csi.group_manifests import GROUP_DEFINITIONS
from sandbox.csi.group_snapshotter import GroupSnapshotter
from sandbox.csi.manifests import CLASSES, DEFINITIONS
from sandbox.csi.protection import Protection
from sandbox.csi.provisioner import SWEEP_SECONDS, Provisioner
from sandbox.csi.resizer import Resizer
from sandbox.csi.snapshot_controller import SnapshotController
from sandbox.csi.snapshot_metadata.service import ServiceSettings, serving_metadata, withdraw
from sandbox.csi.snapshotter import Snapshotter

_DEFAULT_SERVICE = ServiceSettings()


@asynccontextmanager
async def running_storage(
    kubeconfig: Path,
    root: Path,
    *,
    resync_seconds: float = RESYNC_SECONDS,
    sweep_seconds: float = SWEEP_SECONDS,
    changed_blocks: ServiceSettings | None = _DEFAULT_SERVICE,
) -> AsyncIterator[None]:
    """Storage for the time of the context, over the volumes under `root`; entered once it is installed and ready.

    Without `changed_blocks` the driver is one of those that cannot tell them.
    """
    async with (
        Cluster.connect(kubeconfig, "sandbox-csi") as cluster,
        AsyncExitStack() as services,
        asyncio.TaskGroup() as tasks,
    ):
        await install_definitions(cluster, [*DEFINITIONS, *GROUP_DEFINITIONS])
        for kind, manifest in CLASSES:
            with suppress(AlreadyExistsError):
                await cluster.create(kind, manifest)
        caches, driver = Caches(cluster), await asyncio.to_thread(Driver, root)
        if changed_blocks:
            await services.enter_async_context(serving_metadata(cluster, driver, root / "pki", changed_blocks))
        else:
            await withdraw(cluster)
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
            GroupController(cluster, caches).run(),
            GroupSnapshotter(cluster, caches, driver).run(),
        )
        running = [tasks.create_task(part) for part in parts]
        await caches.wait_until_filled()
        try:
            yield
        finally:
            for task in running:
                task.cancel()
