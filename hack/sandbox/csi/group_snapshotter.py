"""csi-snapshotter's part in group snapshots: has the driver cut and delete the group of each group content."""

from __future__ import annotations

import asyncio
from typing import Literal

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller, TryAgainError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import VOLUME_GROUP_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import (
    annotations_of,
    finalizers_of,
    is_deleting,
    with_annotations,
    with_finalizers,
    with_status,
)
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver, DriverError, Group, Snapshot
from sandbox.csi.group_binding import as_time
from sandbox.csi.names import DRIVER, GROUP_BEING_CREATED, GROUP_BEING_DELETED, GROUP_CONTENT_PROTECTION

GroupStep = Literal["none", "cut", "delete"]


def group_step(content: Object) -> GroupStep:
    """What csi-snapshotter does with a group's content. One that is ready is never looked at again.

    A cut that has begun is finished even if the content is to go: until the driver has answered, it may have made one.
    """
    if content["spec"]["driver"] != DRIVER or "volumeHandles" not in content["spec"]["source"]:
        return "none"
    marks = annotations_of(content)
    if GROUP_BEING_CREATED in marks:
        return "cut"
    if is_deleting(content):
        removable = GROUP_BEING_DELETED in marks and GROUP_CONTENT_PROTECTION in finalizers_of(content)
        return "delete" if removable else "none"
    return "none" if (content.get("status") or {}).get("readyToUse") else "cut"


class GroupSnapshotter:
    """The sidecar beside the driver, as far as groups go."""

    def __init__(self, cluster: Cluster, caches: Caches, driver: Driver) -> None:
        self._cluster = cluster
        self._caches = caches
        self._driver = driver
        self._controller = Controller(cluster, "group-snapshotter", backoff_seconds=1, max_backoff_seconds=300)
        self._controller.watch(caches.group_contents)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._controller.run(self._reconcile)

    async def _reconcile(self, key: Key) -> None:
        content = self._caches.group_contents.get(key[1])
        step = group_step(content) if content else "none"
        if content is None or step == "none":
            return
        if step == "delete":
            await self._delete(content)
        else:
            await self._cut(content)

    async def _cut(self, content: Object) -> None:
        if GROUP_BEING_CREATED not in annotations_of(content):
            marked = with_annotations(content, {GROUP_BEING_CREATED: "yes"})
            content = await self._cluster.update(VOLUME_GROUP_SNAPSHOT_CONTENT, marked)
        handles = content["spec"]["source"]["volumeHandles"]
        name = f"groupsnapshot-{content['spec']['volumeGroupSnapshotRef']['uid']}"
        try:
            group, members = await asyncio.to_thread(self._driver.create_group, name, handles)
        except DriverError as error:
            await self._fail(content, f'failed to take group snapshot of the volumes {handles}: "{error}"')
            answered = {"metadata": {"annotations": {GROUP_BEING_CREATED: None}}}
            await self._cluster.patch(VOLUME_GROUP_SNAPSHOT_CONTENT, content["metadata"]["name"], answered)
            raise TryAgainError(str(error)) from error
        content = await self._report(content, group, members)
        unmarked = with_annotations(content, {GROUP_BEING_CREATED: None})
        await self._cluster.update(VOLUME_GROUP_SNAPSHOT_CONTENT, unmarked)

    async def _report(self, content: Object, group: Group, members: list[Snapshot]) -> Object:
        status: Object = {
            "creationTime": as_time(group.created_ns),
            "readyToUse": True,
            "volumeGroupSnapshotHandle": group.handle,
            "volumeSnapshotInfoList": [
                {
                    "volumeHandle": member.volume_handle,
                    "snapshotHandle": member.handle,
                    "creationTime": member.created_ns,
                    "readyToUse": True,
                    "restoreSize": member.size_bytes,
                }
                for member in members
            ],
            "error": None,
        }
        return await self._cluster.update_status(VOLUME_GROUP_SNAPSHOT_CONTENT, with_status(content, status))

    async def _fail(self, content: Object, message: str) -> None:
        message = f"Failed to create group snapshot: {message}"
        if ((content.get("status") or {}).get("error") or {}).get("message") != message:
            changes = {"error": {"message": message, "time": timestamp()}, "readyToUse": False}
            await self._cluster.update_status(VOLUME_GROUP_SNAPSHOT_CONTENT, with_status(content, changes))
        component = f"csi-snapshotter {DRIVER}"
        await self._cluster.event(content, "Warning", "GroupSnapshotCreationFailed", message, component)

    async def _delete(self, content: Object) -> None:
        handle = (content.get("status") or {}).get("volumeGroupSnapshotHandle")
        if content["spec"]["deletionPolicy"] == "Delete" and handle:
            await asyncio.to_thread(self._driver.delete_group, handle)
        freed = with_finalizers(content, remove=[GROUP_CONTENT_PROTECTION])
        await self._cluster.update(VOLUME_GROUP_SNAPSHOT_CONTENT, freed)
