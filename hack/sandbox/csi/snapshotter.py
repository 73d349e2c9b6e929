"""csi-snapshotter: has the driver cut, find and delete the snapshot of each VolumeSnapshotContent of its driver."""

from __future__ import annotations

import asyncio
from typing import Literal

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller, TryAgainError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import VOLUME_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import (
    annotations_of,
    finalizers_of,
    is_deleting,
    with_annotations,
    with_finalizers,
    with_status,
)
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver, DriverError, Snapshot
from sandbox.csi.names import (
    CONTENT_BOUND_PROTECTION,
    DRIVER,
    GROUP_HANDLE,
    SNAPSHOT_BEING_CREATED,
    SNAPSHOT_BEING_DELETED,
)

ContentStep = Literal["none", "cut", "look-up", "delete"]


def content_step(content: Object) -> ContentStep:
    """What csi-snapshotter does with a content. A content that is ready is never looked at again.

    A cut that has begun is finished even if the content is to go: until the driver has answered, it may have made one.
    """
    if content["spec"]["driver"] != DRIVER:
        return "none"
    marks = annotations_of(content)
    if SNAPSHOT_BEING_CREATED in marks:
        return "cut"
    if is_deleting(content):
        removable = SNAPSHOT_BEING_DELETED in marks and CONTENT_BOUND_PROTECTION in finalizers_of(content)
        return "delete" if removable else "none"
    if GROUP_HANDLE in marks:
        return "none"  # cut with its group, whose content tells what there is to know
    if (content.get("status") or {}).get("readyToUse"):
        return "none"
    return "look-up" if content["spec"]["source"].get("snapshotHandle") else "cut"


class Snapshotter:
    """The sidecar beside the driver that can snapshot."""

    def __init__(self, cluster: Cluster, caches: Caches, driver: Driver) -> None:
        self._cluster = cluster
        self._caches = caches
        self._driver = driver
        self._controller = Controller(cluster, "snapshotter", workers=4, backoff_seconds=1, max_backoff_seconds=300)
        self._controller.watch(caches.contents)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._controller.run(self._reconcile)

    async def _reconcile(self, key: Key) -> None:
        content = self._caches.contents.get(key[1])
        step = content_step(content) if content else "none"
        if content is None or step == "none":
            return
        if step == "delete":
            await self._delete(content)
        elif step == "cut":
            await self._cut(content)
        else:
            await self._look_up(content)

    async def _cut(self, content: Object) -> None:
        if SNAPSHOT_BEING_CREATED not in annotations_of(content):
            marked = with_annotations(content, {SNAPSHOT_BEING_CREATED: "yes"})
            content = await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, marked)
        handle = content["spec"]["source"]["volumeHandle"]
        name = f"snapshot-{content['spec']['volumeSnapshotRef']['uid']}"
        try:
            snapshot = await asyncio.to_thread(self._driver.create_snapshot, name, handle)
        except DriverError as error:
            await self._fail(content, f'failed to take snapshot of the volume {handle}: "{error}"')
            answered = {"metadata": {"annotations": {SNAPSHOT_BEING_CREATED: None}}}
            await self._cluster.patch(VOLUME_SNAPSHOT_CONTENT, content["metadata"]["name"], answered)
            raise TryAgainError(str(error)) from error
        content = await self._report(content, snapshot)
        await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, with_annotations(content, {SNAPSHOT_BEING_CREATED: None}))

    async def _look_up(self, content: Object) -> None:
        handle = content["spec"]["source"]["snapshotHandle"]
        snapshot = self._driver.find_snapshot(handle)
        if snapshot is None:
            name = content["metadata"]["name"]
            message = f'failed to list snapshot for content {name}: "can not find snapshot for snapshotID {handle}"'
            await self._fail(content, message)
            raise TryAgainError(message)
        await self._report(content, snapshot)

    async def _report(self, content: Object, snapshot: Snapshot) -> Object:
        status: Object = {
            "creationTime": snapshot.created_ns,
            "readyToUse": True,
            "restoreSize": snapshot.size_bytes,
            "snapshotHandle": snapshot.handle,
            "error": None,
        }
        return await self._cluster.update_status(VOLUME_SNAPSHOT_CONTENT, with_status(content, status))

    async def _fail(self, content: Object, message: str) -> None:
        message = f"Failed to check and update snapshot content: {message}"
        if ((content.get("status") or {}).get("error") or {}).get("message") != message:
            failure = {"message": message, "time": timestamp()}
            changes = {"error": failure, "readyToUse": False}
            await self._cluster.update_status(VOLUME_SNAPSHOT_CONTENT, with_status(content, changes))
        reason = "SnapshotContentCheckandUpdateFailed"
        await self._cluster.event(content, "Warning", reason, message, f"csi-snapshotter {DRIVER}")

    async def _delete(self, content: Object) -> None:
        status, source = content.get("status") or {}, content["spec"]["source"]
        handle = status.get("snapshotHandle") or source.get("snapshotHandle")
        # What belongs to a group is deleted with the group's content.
        if content["spec"]["deletionPolicy"] == "Delete" and handle and not status.get("volumeGroupSnapshotHandle"):
            try:
                await asyncio.to_thread(self._driver.delete_snapshot, handle)
            except DriverError as error:
                message = "Failed to delete snapshot"
                await self._cluster.event(
                    content, "Warning", "SnapshotDeleteError", message, f"csi-snapshotter {DRIVER}"
                )
                raise TryAgainError(str(error)) from error
        freed = with_finalizers(content, remove=[CONTENT_BOUND_PROTECTION])
        await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, freed)
