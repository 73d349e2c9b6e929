"""The node and its controllers in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.cluster.client import Cluster
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.job_controller import JobController
from sandbox.kubelet.kubelet import Kubelet
from sandbox.kubelet.node import keep_lease, register
from sandbox.kubelet.scheduler import Scheduler
from sandbox.kubelet.serving import serving
from sandbox.kubelet.workloads import Workloads


@asynccontextmanager
async def running_node(
    kubeconfig: Path, settings: NodeSettings, *, job_backoff_seconds: float = 10.0
) -> AsyncIterator[None]:
    """A node for the time of the context; entered once it is registered. Leaving it kills the containers."""
    async with Cluster.connect(kubeconfig, "sandbox-kubelet") as cluster:
        kubelet = Kubelet(cluster, settings)
        async with serving(settings.address, kubelet.find) as port, asyncio.TaskGroup() as tasks:
            parts = (
                kubelet.run(),
                keep_lease(cluster, settings.name),
                Scheduler(cluster, settings.name).run(),
                JobController(cluster, job_backoff_seconds).run(),
                Workloads(cluster).run(),
            )
            running = [tasks.create_task(part) for part in parts]
            await register(cluster, settings.name, settings.address, port)
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
