"""KubeVirt, the CSI driver and the nodes of the fleet, played: everything succeeds at once, and no byte is moved.

They make the objects that a run of a stopped VM with one Block disk meets, in the order of the real controllers. What
is measured is the controller, so its requests and decisions are real, and everything that it waits for is quick.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench.fleet.population import DISK_BYTES, DISK_SIZE, volume_of
from bench.fleet.shape import VOLUME
from safehold.errors import ConflictError, NotFoundError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    CLAIM,
    JOB,
    POD,
    SECRET,
    VM,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from safehold.kube.kinds import (
    VOLUME as PERSISTENT_VOLUME,
)
from safehold.report import RunReport, VolumeReport
from sandbox.csi.names import DRIVER

REPOSITORY_ID = "fleet-bench"
_WATCH_SECONDS = 600

React = Callable[[Manifest], Awaitable[None]]


@dataclass(slots=True)
class StandIns:
    """Follow what the controller creates. While `working` is not set, worker Jobs are running and do not end."""

    cluster: Cluster
    namespace: str
    working: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(VM_SNAPSHOT, None, self._cut, self._drop_snapshot))
            group.create_task(self._follow(VOLUME_SNAPSHOT, self.namespace, self._bind, _nothing))
            group.create_task(self._follow(CLAIM, self.namespace, self._provision, self._drop_volume))
            group.create_task(self._follow(JOB, self.namespace, self._work, _nothing))

    async def _follow(self, kind: Kind, namespace: str | None, added: React, gone: React) -> None:
        while True:
            async for event in self.cluster.watch(kind, namespace, timeout_seconds=_WATCH_SECONDS):
                react = added if event.type == "ADDED" else gone
                if event.type == "MODIFIED":
                    if "deletionTimestamp" not in event.manifest["metadata"]:
                        continue
                    react = partial(self._release, kind)
                task = asyncio.create_task(_forgiving(react, event.manifest))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _release(self, kind: Kind, found: Manifest) -> None:
        """Whatever protects an object from its deletion (claims, while pods may use them) has no reason to."""
        metadata = found["metadata"]
        if metadata.get("finalizers"):
            patch = {"metadata": {"finalizers": None}}
            await self.cluster.merge_patch(kind, metadata["name"], metadata.get("namespace"), patch)

    async def _cut(self, snapshot: Manifest) -> None:
        """Content, VolumeSnapshot and VolumeSnapshotContent of a VirtualMachineSnapshot, then their statuses."""
        metadata = snapshot["metadata"]
        namespace, uid, now = metadata["namespace"], metadata["uid"], datetime.now(UTC)
        machine = await self.cluster.read(VM, snapshot["spec"]["source"]["name"], namespace)
        claim = await self.cluster.read(CLAIM, machine["metadata"]["name"], namespace)
        content = await self.cluster.create_if_absent(VM_SNAPSHOT_CONTENT, _machine_content(snapshot, machine, claim))
        owner = {
            "apiVersion": VM_SNAPSHOT_CONTENT.api_version,
            "kind": VM_SNAPSHOT_CONTENT.kind,
            "name": content["metadata"]["name"],
            "uid": content["metadata"]["uid"],
            "controller": True,
        }
        name = f"vmsnapshot-{uid}-volume-{VOLUME}"
        cut = {
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
            "spec": {"source": {"persistentVolumeClaimName": claim["metadata"]["name"]}},
        }
        volume_snapshot = await self.cluster.create_if_absent(VOLUME_SNAPSHOT, cut)
        csi = f"snapcontent-{volume_snapshot['metadata']['uid']}"
        spec = {
            "deletionPolicy": "Delete",
            "driver": DRIVER,
            "source": {"volumeHandle": claim["spec"]["volumeName"]},
            "sourceVolumeMode": "Block",
            "volumeSnapshotRef": {
                "name": name,
                "namespace": namespace,
                "uid": volume_snapshot["metadata"]["uid"],
            },
        }
        await self.cluster.create_if_absent(VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": csi}, "spec": spec})
        await self._ready(csi, name, namespace, handle=f"snap-{uid}", now=now)
        done = {"readyToUse": True, "creationTime": f"{now:%FT%TZ}"}
        await self._patch_status(VM_SNAPSHOT_CONTENT, content["metadata"]["name"], namespace, done)
        said = {"phase": "Succeeded", "virtualMachineSnapshotContentName": content["metadata"]["name"], **done}
        await self._patch_status(VM_SNAPSHOT, metadata["name"], namespace, said)

    async def _drop_snapshot(self, snapshot: Manifest) -> None:
        namespace, uid = snapshot["metadata"]["namespace"], snapshot["metadata"]["uid"]
        name = f"vmsnapshot-{uid}-volume-{VOLUME}"
        found = await self.cluster.get(VOLUME_SNAPSHOT, name, namespace)
        if found is not None:
            await self.cluster.delete(VOLUME_SNAPSHOT, name, namespace)
            await self.cluster.delete(VOLUME_SNAPSHOT_CONTENT, f"snapcontent-{found['metadata']['uid']}")
        await self.cluster.delete(VM_SNAPSHOT_CONTENT, f"vmsnapshot-content-{uid}", namespace)

    async def _bind(self, snapshot: Manifest) -> None:
        """The static pair of the operator's: the content learns the snapshot's uid, and both become ready."""
        name, namespace = snapshot["metadata"]["name"], snapshot["metadata"]["namespace"]
        content = snapshot["spec"]["source"]["volumeSnapshotContentName"]
        bound = {"spec": {"volumeSnapshotRef": {"uid": snapshot["metadata"]["uid"]}}}
        found = await self.cluster.merge_patch(VOLUME_SNAPSHOT_CONTENT, content, None, bound)
        handle = found["spec"]["source"]["snapshotHandle"]
        await self._ready(content, name, namespace, handle=handle, now=datetime.now(UTC))

    async def _ready(self, content: str, snapshot: str, namespace: str, *, handle: str, now: datetime) -> None:
        cut = {
            "snapshotHandle": handle,
            "creationTime": int(now.timestamp() * 1e9),
            "readyToUse": True,
            "restoreSize": DISK_BYTES,
        }
        await self._patch_status(VOLUME_SNAPSHOT_CONTENT, content, None, cut)
        ready = {
            "boundVolumeSnapshotContentName": content,
            "creationTime": f"{now:%FT%TZ}",
            "readyToUse": True,
            "restoreSize": DISK_SIZE,
        }
        await self._patch_status(VOLUME_SNAPSHOT, snapshot, namespace, ready)

    async def _provision(self, claim: Manifest) -> None:
        name = f"pv-{claim['metadata']['uid']}"
        bound = {**claim, "spec": {**claim["spec"], "volumeName": name}}
        await self.cluster.create_if_absent(PERSISTENT_VOLUME, volume_of(bound, datetime.now(UTC)))
        place = claim["metadata"]["name"], claim["metadata"]["namespace"]
        await self.cluster.merge_patch(CLAIM, *place, {"spec": {"volumeName": name}})
        await self._patch_status(CLAIM, *place, {"phase": "Bound", "capacity": {"storage": DISK_SIZE}})

    async def _drop_volume(self, claim: Manifest) -> None:
        name = f"pv-{claim['metadata']['uid']}"
        await self.cluster.delete(PERSISTENT_VOLUME, name)
        await self.cluster.merge_patch(PERSISTENT_VOLUME, name, None, {"metadata": {"finalizers": None}})

    async def _work(self, job: Manifest) -> None:
        """A pod that runs, and ends with the report of a run in which all went well."""
        name = job["metadata"]["name"]
        secret = await self.cluster.read(SECRET, name, self.namespace)
        run = json.loads(base64.b64decode(secret["data"]["run.json"]))
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
        template = job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
        metadata = {"name": f"{name}-x", "namespace": self.namespace, "labels": labels, "ownerReferences": [owner]}
        await self.cluster.create_if_absent(POD, {"metadata": metadata, "spec": template["spec"]})
        if run["verb"] == "backup":
            await self.working.wait()
        ended = {"exitCode": 0, "reason": "Completed", "message": _report(run).model_dump_json(exclude_defaults=True)}
        container = {"name": "worker", "state": {"terminated": ended}}
        status = {"phase": "Succeeded", "containerStatuses": [container]}
        await self._patch_status(POD, f"{name}-x", self.namespace, status)
        complete = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
        await self._patch_status(JOB, name, self.namespace, complete)

    async def _patch_status(self, kind: Kind, name: str, namespace: str | None, status: dict[str, Any]) -> None:
        await self.cluster.merge_patch(kind, name, namespace, {"status": status}, subresource="status")


async def _forgiving(react: React, manifest: Manifest) -> None:
    """What is deleted meanwhile is nobody's any more."""
    try:
        await react(manifest)
    except (NotFoundError, ConflictError):
        return


async def _nothing(_: Manifest) -> None:
    return None


def _machine_content(snapshot: Manifest, machine: Manifest, claim: Manifest) -> Manifest:
    metadata = snapshot["metadata"]
    backup = {
        "volumeName": VOLUME,
        "volumeSnapshotName": f"vmsnapshot-{metadata['uid']}-volume-{VOLUME}",
        "persistentVolumeClaim": {"metadata": _kept(claim), "spec": claim["spec"]},
    }
    captured = {"metadata": _kept(machine), "spec": machine["spec"], "status": {"printableStatus": "Stopped"}}
    return {
        "metadata": {"name": f"vmsnapshot-content-{metadata['uid']}", "namespace": metadata["namespace"]},
        "spec": {
            "virtualMachineSnapshotName": metadata["name"],
            "source": {"virtualMachine": captured},
            "volumeBackups": [backup],
        },
    }


def _kept(found: Manifest) -> Manifest:
    return {key: value for key, value in found["metadata"].items() if key != "managedFields"}


def _report(run: dict[str, Any]) -> RunReport:
    volumes = [
        VolumeReport(name=volume["name"], bytes_total=DISK_BYTES, bytes_read=DISK_BYTES, seconds=1.0)
        for volume in run.get("volumes") or []
    ]
    point = f"point-{run['run_id']}" if run["verb"] == "backup" else None
    return RunReport(
        run_id=run["run_id"],
        verb=run["verb"],
        succeeded=True,
        reason="Succeeded",
        message="played",
        restore_point=point,
        volumes=volumes,
        repository_id=REPOSITORY_ID,
        seconds=1.0,
    )
