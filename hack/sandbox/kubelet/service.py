"""The node and its controllers in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import NODE
from sandbox.cluster.waiting import wait_until
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.job_controller import JobController
from sandbox.kubelet.kubelet import Kubelet
from sandbox.kubelet.log_server import serving_logs
from sandbox.kubelet.node import keep_lease, register
from sandbox.kubelet.scheduler import Scheduler
from sandbox.kubelet.workloads import Workloads


async def serve(cluster: Cluster, settings: NodeSettings, *, job_backoff_seconds: float = 10.0) -> None:
    """Registers the node and runs its pods until cancelled; the Node is Ready from then on."""
    kubelet = Kubelet(cluster, settings)
    async with serving_logs(settings.address, kubelet.find) as port, asyncio.TaskGroup() as tasks:
        tasks.create_task(kubelet.run())
        tasks.create_task(keep_lease(cluster, settings.name))
        tasks.create_task(Scheduler(cluster, settings.name).run())
        tasks.create_task(JobController(cluster, job_backoff_seconds).run())
        tasks.create_task(Workloads(cluster).run())
        await register(cluster, settings.name, settings.address, port)


@asynccontextmanager
async def running_node(
    kubeconfig: Path, settings: NodeSettings, *, job_backoff_seconds: float = 10.0
) -> AsyncIterator[None]:
    """A node for the time of the context; entered once it is registered."""
    async with Cluster.connect(kubeconfig, "sandbox-kubelet") as cluster, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve(cluster, settings, job_backoff_seconds=job_backoff_seconds))
        await wait_until(
            cluster,
            NODE,
            settings.name,
            reached=lambda node: bool(node and (node.get("status") or {}).get("daemonEndpoints")),
        )
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _registered(node: Object | None) -> bool:
    return bool(node and (node.get("status") or {}).get("daemonEndpoints"))
