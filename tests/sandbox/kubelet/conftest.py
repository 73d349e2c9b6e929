"""A node with storage on a fresh API server, for tests that run real containers."""

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import JOB, NAMESPACE, POD
from sandbox.cluster.metadata import controller_uid
from sandbox.cluster.waiting import wait_until
from sandbox.csi.service import running_storage
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.images import Image, python_paths
from sandbox.kubelet.service import running_node


@dataclass(frozen=True)
class Node:
    """A running node; namespace `a` exists."""

    cluster: Cluster
    settings: NodeSettings

    async def pod(self, name: str, script: str, *, pod: Object | None = None, **container: Any) -> Object:
        """Creates a pod whose one container `c` runs a shell script."""
        spec: Object = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "c", "image": "shell", "command": ["sh", "-c", script], **container}],
            **(pod or {}),
        }
        return await self.cluster.create(POD, {"metadata": {"name": name, "namespace": "a"}, "spec": spec})

    async def ended(self, name: str) -> tuple[str, Object]:
        """Waits for the pod's end; gives its log and its container's terminated state."""
        pod = await self.phase(name, "Succeeded", "Failed")
        state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        return await self.log(name), state

    async def phase(self, name: str, *phases: str) -> Object:
        """Waits until the pod is in one of the phases."""
        reached = lambda obj: obj is not None and obj["status"].get("phase") in phases  # noqa: E731
        pod = await wait_until(self.cluster, POD, name, "a", reached=reached, timeout_seconds=180)
        assert pod is not None
        return pod

    async def log(self, name: str, **query: str) -> str:
        """The pod's log, through the API server."""
        return str(await self.cluster.request("GET", POD.path("a", name, "log"), query=query))

    async def job(self, name: str, script: str, **spec: Any) -> Object:
        """Creates a Job whose pod runs a shell script."""
        container = {"name": "c", "image": "shell", "command": ["sh", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 5}}
        body = {"metadata": {"name": name, "namespace": "a"}, "spec": {"template": template, **spec}}
        return await self.cluster.create(JOB, body)

    async def job_condition(self, name: str, condition: str) -> Object:
        """Waits until a condition of the Job is True; gives the Job."""

        def reached(obj: Object | None) -> bool:
            found = ((obj or {}).get("status") or {}).get("conditions") or []
            return any(item["type"] == condition and item["status"] == "True" for item in found)

        job = await wait_until(self.cluster, JOB, name, "a", reached=reached, timeout_seconds=180)
        assert job is not None
        return job

    async def pods_of(self, owner: Object) -> list[Object]:
        """The pods that an object controls."""
        return [pod for pod in await self.cluster.list(POD, "a") if controller_uid(pod) == owner["metadata"]["uid"]]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose image `shell` is this machine, and `python` this interpreter."""
    if os.geteuid() != 0:
        pytest.skip("containers need root: each gets its own mounts and user")
    with running_api_server(tmp_path / "api") as server:
        settings = NodeSettings(
            name="sandbox",
            address="127.0.0.1",
            folder=tmp_path / "node",
            storage=tmp_path / "csi",
            images=(Image("shell"), Image("python", (sys.executable,), 65532, python_paths())),
            backoff_seconds=0.1,
            retry_seconds=0.1,
        )
        async with (
            running_storage(server.kubeconfig, tmp_path / "csi"),
            running_node(server.kubeconfig, settings, job_backoff_seconds=0.1),
            Cluster.connect(server.kubeconfig, "tests") as cluster,
        ):
            await cluster.create(NAMESPACE, {"metadata": {"name": "a"}})
            yield Node(cluster, settings)
