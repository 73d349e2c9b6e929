"""All of KubeVirt in one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.cluster.client import Cluster
from sandbox.cluster.definitions import install_definitions
from sandbox.guest.errors import ImageError
from sandbox.guest.image import GuestImage, default_cache, guest_image
from sandbox.guest.machine import qemu_installed
from sandbox.kubevirt.api.definitions import DEFINITIONS
from sandbox.kubevirt.api.installation import install_endpoints
from sandbox.kubevirt.api.server import serving
from sandbox.kubevirt.api.subresources import Subresources
from sandbox.kubevirt.backups.controller import BackupController
from sandbox.kubevirt.backups.jobs import BackupJobs
from sandbox.kubevirt.backups.trackers import TrackerController
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.exports.controller import ExportController
from sandbox.kubevirt.exports.serving import ExportServers
from sandbox.kubevirt.machines.hypervisor import Hypervisor
from sandbox.kubevirt.machines.migrations import MigrationController
from sandbox.kubevirt.machines.vm_controller import VirtualMachineController
from sandbox.kubevirt.machines.vmi_controller import InstanceController
from sandbox.kubevirt.quiescing import Quiescing
from sandbox.kubevirt.restores.controller import RestoreController
from sandbox.kubevirt.snapshots.controller import SnapshotController

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`state` gets freezes.jsonl; `volumes` is the folder of the CSI driver; without `image` guests are only disks.

    `cache` keeps the images of container disks that the sandbox builds.
    """

    state: Path
    volumes: Path
    image: GuestImage | None
    cache: Path = field(default_factory=default_cache)


def image_for(cache: Path, *, qemu: bool) -> GuestImage | None:
    """The image that guests boot, or None, said in plain words, where no real guest can run."""
    if not qemu:
        _log.warning("--no-qemu: guests are only disks, with no agent; backups of them are crash-consistent at best")
        return None
    if not qemu_installed():
        _log.warning("QEMU is not installed: guests are only disks; run `make system` as root for real ones")
        return None
    try:
        return guest_image(cache)
    except ImageError as error:
        _log.warning("no guest image can be built, guests are only disks: %s", error)
        return None


async def serve(cluster: Cluster, settings: Settings, ready: asyncio.Event | None = None) -> None:
    """Installs, then runs all controllers and guests until cancelled. The guests end with it."""
    settings.state.mkdir(parents=True, exist_ok=True)
    await install_definitions(cluster, DEFINITIONS)
    caches = Caches(cluster)
    hypervisor = Hypervisor(settings.state, settings.image)
    quiescing = Quiescing(cluster, hypervisor)
    jobs = BackupJobs(cluster, hypervisor, quiescing)
    servers = ExportServers(settings.state / "exports")
    parts = (
        caches.run(),
        InstanceController(cluster, caches, hypervisor, settings.volumes, settings.cache).run(),
        VirtualMachineController(cluster, caches).run(),
        SnapshotController(cluster, caches, quiescing).run(),
        MigrationController(cluster, caches).run(),
        RestoreController(cluster, caches).run(),
        ExportController(cluster, caches, servers, settings.volumes, jobs.pulled).run(),
        BackupController(cluster, caches, jobs, settings.volumes).run(),
        TrackerController(cluster, caches, jobs).run(),
    )
    subresources = Subresources(cluster, hypervisor, quiescing)
    try:
        async with (
            serving(cluster, caches, subresources, settings.state / "pki") as endpoint,
            asyncio.TaskGroup() as tasks,
        ):
            for part in parts:
                tasks.create_task(part)
            await caches.wait_until_filled()
            await install_endpoints(cluster, endpoint)
            if ready is not None:
                ready.set()
    finally:
        await jobs.close()
        await servers.close()
        await hypervisor.close()


@asynccontextmanager
async def running_kubevirt(kubeconfig: Path, settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """KubeVirt for the time of the context; entered once it is ready. Yields the task, which ends only by failing."""
    async with Cluster.connect(kubeconfig, "sandbox-kubevirt") as cluster:
        ready = asyncio.Event()
        task = asyncio.create_task(serve(cluster, settings, ready))
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            yield task
        finally:
            waiting.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
