"""From the name of a VolumeSnapshot to the driver's handle.

Whatever is missing on the way is UNAVAILABLE, a VolumeSnapshot that does not exist as much as one that is not ready.
"""

from __future__ import annotations

import grpc

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CLASS, VOLUME_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.names import DEFAULT_SNAPSHOT_CLASS, DRIVER
from sandbox.csi.snapshot_metadata.refusals import RefusalError


async def handle_of(cluster: Cluster, namespace: str, name: str) -> str:
    """The snapshot handle behind a VolumeSnapshot of this driver; raises RefusalError."""
    snapshot = await _snapshot(cluster, namespace, name)
    content = await _content(cluster, snapshot["status"]["boundVolumeSnapshotContentName"])
    if content["spec"]["driver"] != DRIVER:
        message = f"VolumeSnapshot '{name}' does not belong to the CSI driver '{DRIVER}'"
        raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
    await _check_class(cluster, snapshot)
    return str(content["status"]["snapshotHandle"])


async def _snapshot(cluster: Cluster, namespace: str, name: str) -> Object:
    snapshot = await cluster.get(VOLUME_SNAPSHOT, name, namespace)
    if snapshot is None:
        raise _unavailable(f"failed to get VolumeSnapshot '{namespace}/{name}': not found")
    status = snapshot.get("status") or {}
    if not status.get("readyToUse"):
        raise _unavailable(f"the VolumeSnapshot is not yet ready, name: {name}")
    if not status.get("boundVolumeSnapshotContentName"):
        raise _unavailable(f"boundVolumeSnapshotContentName is not set in VolumeSnapshot status, name: {name}")
    return snapshot


async def _content(cluster: Cluster, name: str) -> Object:
    content = await cluster.get(VOLUME_SNAPSHOT_CONTENT, name)
    if content is None:
        raise _unavailable(f"failed to get VolumeSnapshotContent '{name}': not found")
    status = content.get("status") or {}
    if not status.get("readyToUse"):
        raise _unavailable(f"the VolumeSnapshotContent is not yet ready, name: {name}")
    if not status.get("snapshotHandle"):
        raise _unavailable(f"snapshotHandle is not set in VolumeSnapshotContent status, name: {name}")
    return content


async def _check_class(cluster: Cluster, snapshot: Object) -> None:
    """The sidecar looks for the snapshotter's secret in the snapshot's class, or the driver's default one."""
    name = snapshot["spec"].get("volumeSnapshotClassName")
    if name:
        if await cluster.get(VOLUME_SNAPSHOT_CLASS, name) is None:
            raise _unavailable(f"failed to get VolumeSnapshotClass '{name}': not found")
        return
    defaults = [
        item
        for item in await cluster.list(VOLUME_SNAPSHOT_CLASS)
        if item["driver"] == DRIVER and annotations_of(item).get(DEFAULT_SNAPSHOT_CLASS) == "true"
    ]
    if not defaults:
        raise _unavailable(f"no default VolumeSnapshotClass is set for the CSI driver '{DRIVER}'")
    if len(defaults) > 1:
        raise _unavailable(f"multiple default VolumeSnapshotClasses are set for the CSI driver '{DRIVER}'")


def _unavailable(message: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.UNAVAILABLE, message)
