"""A storage stand-in on a fresh API server, with the actions and waits that its tests are written in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import (
    EVENT,
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.csi.driver import volume_path
from sandbox.csi.names import DRIVER
from sandbox.csi.service import running_storage
from sandbox.csi.snapshot_metadata.service import ServiceSettings

RESYNC_SECONDS = 1.0
_SERVICE = ServiceSettings()


@dataclass(frozen=True)
class Storage:
    """A running storage stand-in; namespaces `a` and `b` exist."""

    cluster: Cluster
    root: Path

    async def claim(
        self, name: str, namespace: str = "a", annotations: dict[str, str] | None = None, **spec: Any
    ) -> Object:
        """Creates a claim of 1Mi, Block unless said otherwise."""
        body: Object = {
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
                "storageClassName": "sandbox",
                "volumeMode": "Block",
                **spec,
            },
        }
        return await self.cluster.create(PERSISTENT_VOLUME_CLAIM, body)

    async def bound(self, name: str, namespace: str = "a", seconds: float = 20) -> tuple[Object, Object]:
        """Waits until the claim is Bound; gives the claim and its volume."""
        found = await self.phase(PERSISTENT_VOLUME_CLAIM, name, "Bound", namespace, seconds)
        volume = await self.cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
        assert volume is not None
        return found, volume

    async def phase(
        self, kind: Kind, name: str, phase: str, namespace: str | None = None, seconds: float = 20
    ) -> Object:
        """Waits until the object is in a phase."""
        return await self.until(kind, name, namespace, lambda obj: obj["status"].get("phase") == phase, seconds)

    async def until(
        self, kind: Kind, name: str, namespace: str | None, holds: Callable[[Object], bool], seconds: float = 20
    ) -> Object:
        """Waits until the object exists and has a status for which the condition holds."""
        found = await wait_until(
            self.cluster,
            kind,
            name,
            namespace,
            reached=lambda obj: obj is not None and bool(obj.get("status")) and holds(obj),
            timeout_seconds=seconds,
        )
        assert found is not None
        return found

    async def gone(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Waits until the object is gone."""
        await wait_until_gone(self.cluster, kind, name, namespace, timeout_seconds=180)

    async def event(self, kind: str, name: str, reason: str, namespace: str = "a") -> str:
        """Waits for an event about an object; gives its message."""
        async with asyncio.timeout(180):
            while True:
                events, version = await self.cluster.list_with_version(EVENT, namespace)
                for item in events:
                    about = item["involvedObject"]
                    if (about["kind"], about["name"], item["reason"]) == (kind, name, reason):
                        return str(item["message"])
                async for _ in self.cluster.watch(EVENT, namespace, resource_version=version):
                    break

    async def patch(self, kind: Kind, name: str, body: Object, namespace: str | None = None) -> Object:
        """Merge-patches an object."""
        return await self.cluster.patch(kind, name, body, namespace)

    async def snapshot(self, name: str, claim: str, namespace: str = "a") -> tuple[Object, Object]:
        """Cuts a claim; gives the ready VolumeSnapshot and its content."""
        spec = {"source": {"persistentVolumeClaimName": claim}}
        await self.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        return await self.ready(name, namespace)

    async def static_pair(self, name: str, handle: str, *, policy: str = "Retain", **more: Any) -> None:
        """Creates content `name` and snapshot b/`name` for a handle."""
        spec = {
            "deletionPolicy": policy,
            "driver": DRIVER,
            "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": {"namespace": "b", "name": name},
            **more,
        }
        await self.cluster.create(VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": name}, "spec": spec})
        source = {"source": {"volumeSnapshotContentName": name}}
        await self.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": name, "namespace": "b"}, "spec": source})

    async def ready(self, name: str, namespace: str) -> tuple[Object, Object]:
        """Waits until a VolumeSnapshot is ready; gives it and its content."""
        found = await self.until(VOLUME_SNAPSHOT, name, namespace, lambda obj: bool(obj["status"].get("readyToUse")))
        content = await self.cluster.get(VOLUME_SNAPSHOT_CONTENT, found["status"]["boundVolumeSnapshotContentName"])
        assert content is not None
        return found, content

    def path(self, volume: Object) -> Path:
        """The file or folder of a volume."""
        return volume_path(self.root, volume["spec"]["csi"]["volumeHandle"])

    def snapshots_on_disk(self) -> set[str]:
        """Handles of the snapshots whose data exists."""
        return {path.name for path in (self.root / "snapshots").iterdir()}


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """Storage on its own API server, with a resync of a second instead of fifteen."""
    async with running(tmp_path) as running_one:
        yield running_one


@asynccontextmanager
async def running(tmp_path: Path, changed_blocks: ServiceSettings | None = _SERVICE) -> AsyncIterator[Storage]:
    """The fixture's content, for tests that restart it or want other changed blocks."""
    with running_api_server(tmp_path / "api") as server:
        root = tmp_path / "csi"
        async with (
            running_storage(server.kubeconfig, root, resync_seconds=RESYNC_SECONDS, changed_blocks=changed_blocks),
            Cluster.connect(server.kubeconfig, "tests") as cluster,
        ):
            for name in ("a", "b"):
                with suppress(AlreadyExistsError):
                    await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            yield Storage(cluster, root)
