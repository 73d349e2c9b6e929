"""snapshot-controller's part in group snapshots: selects the claims, makes the members, and takes everything away."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller, TryAgainError
from sandbox.cluster.errors import AlreadyExistsError, NotFoundError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import (
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_GROUP_SNAPSHOT,
    VOLUME_GROUP_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from sandbox.cluster.metadata import annotations_of, finalizers_of, is_deleting, with_annotations, with_finalizers
from sandbox.csi.caches import Caches
from sandbox.csi.group_binding import (
    creation_failed,
    dynamic_group_content,
    group_class,
    group_content_name,
    group_status,
    is_bound_to_group,
    member_content,
    member_content_status,
    member_snapshot,
    selected_claims,
)
from sandbox.csi.names import GROUP_BEING_DELETED, GROUP_BOUND_PROTECTION, GROUP_CONTENT_PROTECTION
from sandbox.csi.provisioner import restores_from
from sandbox.csi.snapshot_binding import SnapshotError, group_of

_COMPONENT = "snapshot-controller"


class GroupController:
    """Looks at groups and their contents. Groups for contents that exist already are not played."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def run(self) -> None:
        """Runs until cancelled."""
        groups = Controller(self._cluster, "groups", backoff_seconds=0.5).watch(self._caches.groups)
        groups.watch(self._caches.group_contents, _group_of_content)
        contents = Controller(self._cluster, "group-contents").watch(self._caches.group_contents)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(groups.run(self._reconcile_group))
            tasks.create_task(contents.run(self._protect_content))

    async def _reconcile_group(self, key: Key) -> None:
        group = self._caches.groups.get(key[1], key[0])
        if group is None:
            return
        if is_deleting(group):
            await self._let_go(group)
            return
        try:
            content = await self._content_for(group)
        except SnapshotError as error:
            await self._complain(group, error)
            raise TryAgainError(error.message) from error
        if GROUP_BOUND_PROTECTION not in finalizers_of(group):
            protected = with_finalizers(group, add=[GROUP_BOUND_PROTECTION])
            group = await self._cluster.update(VOLUME_GROUP_SNAPSHOT, protected)
        for info in (content.get("status") or {}).get("volumeSnapshotInfoList") or []:
            await self._make_member(group, content, info)
        await self._report(group, content)

    async def _content_for(self, group: Object) -> Object:
        if "selector" not in group["spec"]["source"]:
            raise creation_failed("pre-provisioned groups are not played by the sandbox")
        content = self._caches.group_contents.get(group_content_name(group))
        if content is not None:
            return content
        namespace = group["metadata"]["namespace"]
        # Asked of the server as the controller does: a label that was written just before must be seen.
        claims = selected_claims(group, await self._cluster.list(PERSISTENT_VOLUME_CLAIM, namespace))
        volumes = [await self._volume_of(claim) for claim in claims]
        driver = (volumes[0]["spec"].get("csi") or {}).get("driver", "")
        chosen = group_class(group, driver, self._caches.group_classes.list())
        wanted = dynamic_group_content(group, volumes, chosen)
        try:
            content = await self._cluster.create(VOLUME_GROUP_SNAPSHOT_CONTENT, wanted)
        except AlreadyExistsError:
            content = await self._cluster.get(VOLUME_GROUP_SNAPSHOT_CONTENT, group_content_name(group)) or wanted
        where = f"{namespace}/{group['metadata']['name']}"
        message = f"Waiting for a group snapshot {where} to be created by the CSI driver."
        await self._cluster.event(group, "Normal", "CreatingGroupSnapshot", message, _COMPONENT)
        return content

    async def _volume_of(self, claim: Object) -> Object:
        name = claim["spec"].get("volumeName") or ""
        volume = await self._cluster.get(PERSISTENT_VOLUME, name)
        if volume is None:
            raise creation_failed(f"failed to retrieve PV {name} from the API server")
        return volume

    async def _make_member(self, group: Object, content: Object, info: Object) -> None:
        """Content and snapshot of one member, bound to each other, and what the group's content knows of the cut."""
        handle = info["volumeHandle"]
        volume = next((item for item in self._caches.volumes.list() if _handle_of(item) == handle), None)
        wanted, snapshot = member_content(group, content, info, volume), member_snapshot(group, info, volume)
        name, namespace = snapshot["metadata"]["name"], snapshot["metadata"]["namespace"]
        made = self._caches.contents.get(wanted["metadata"]["name"])
        if made is not None and (made.get("status") or {}).get("snapshotHandle"):
            return
        with suppress(AlreadyExistsError):
            await self._cluster.create(VOLUME_SNAPSHOT_CONTENT, wanted)
        with suppress(AlreadyExistsError):
            await self._cluster.create(VOLUME_SNAPSHOT, snapshot)
        found = await self._cluster.get(VOLUME_SNAPSHOT, name, namespace)
        if found is None:
            return
        uid = {"spec": {"volumeSnapshotRef": {**wanted["spec"]["volumeSnapshotRef"], "uid": found["metadata"]["uid"]}}}
        await self._cluster.patch(VOLUME_SNAPSHOT_CONTENT, wanted["metadata"]["name"], uid)
        bound = {"status": {"boundVolumeSnapshotContentName": wanted["metadata"]["name"]}}
        await self._cluster.patch(VOLUME_SNAPSHOT, name, bound, namespace, subresource="status")
        status = {"status": member_content_status(content, info)}
        await self._cluster.patch(VOLUME_SNAPSHOT_CONTENT, wanted["metadata"]["name"], status, subresource="status")

    async def _report(self, group: Object, content: Object) -> None:
        before, status = group.get("status") or {}, group_status(group, content)
        if status == before:
            return
        changed = copy.deepcopy(group)
        changed["status"] = status
        await self._cluster.update_status(VOLUME_GROUP_SNAPSHOT, changed)
        where = f"GroupSnapshot {group['metadata']['namespace']}/{group['metadata']['name']}"
        if status["readyToUse"] and not before.get("readyToUse"):
            await self._cluster.event(group, "Normal", "GroupSnapshotReady", f"{where} is ready to use.", _COMPONENT)

    async def _complain(self, group: Object, error: SnapshotError) -> None:
        before = group.get("status") or {}
        if (before.get("error") or {}).get("message") == error.message:
            return
        changed = copy.deepcopy(group)
        failure = {"message": error.message, "time": timestamp()}
        changed["status"] = {**before, "error": failure, "readyToUse": False}
        await self._cluster.update_status(VOLUME_GROUP_SNAPSHOT, changed)
        await self._cluster.event(group, "Warning", error.reason, error.message, _COMPONENT)

    async def _let_go(self, group: Object) -> None:
        """Ends a group that is being deleted: its content, unless that is to be retained, and its members with it."""
        content = self._caches.group_contents.get(group_content_name(group))
        if content is not None and not is_bound_to_group(content, group):
            content = None
        namespace = group["metadata"]["namespace"]
        members = [item for item in self._caches.snapshots.list(namespace) if _is_member(item, group)]
        await self._refuse_while_restoring(group, members)
        if content and GROUP_BEING_DELETED not in annotations_of(content):
            marked = with_annotations(content, {GROUP_BEING_DELETED: "yes"})
            content = await self._cluster.update(VOLUME_GROUP_SNAPSHOT_CONTENT, marked)
        deletes = content is not None and content["spec"]["deletionPolicy"] == "Delete"
        if content and deletes and not is_deleting(content):
            with suppress(NotFoundError):
                await self._cluster.delete(VOLUME_GROUP_SNAPSHOT_CONTENT, content["metadata"]["name"])
        for member in members:
            if not is_deleting(member):
                with suppress(NotFoundError):
                    await self._cluster.delete(VOLUME_SNAPSHOT, member["metadata"]["name"], namespace)
        if content and deletes:
            return  # the content's end brings us back
        if GROUP_BOUND_PROTECTION in finalizers_of(group):
            freed = with_finalizers(group, remove=[GROUP_BOUND_PROTECTION])
            await self._cluster.update(VOLUME_GROUP_SNAPSHOT, freed)

    async def _refuse_while_restoring(self, group: Object, members: list[Object]) -> None:
        claims = self._caches.claims.list(group["metadata"]["namespace"])
        for member in members:
            name = member["metadata"]["name"]
            if any(restores_from(claim, name) for claim in claims):
                message = f"Snapshot {name} belonging to a VolumeGroupSnapshot is being used to restore a PVC"
                await self._cluster.event(group, "Warning", "SnapshotDeletePending", message, _COMPONENT)
                raise TryAgainError(message)

    async def _protect_content(self, key: Key) -> None:
        content = self._caches.group_contents.get(key[1])
        if content is None or is_deleting(content) or GROUP_CONTENT_PROTECTION in finalizers_of(content):
            return
        protected = with_finalizers(content, add=[GROUP_CONTENT_PROTECTION])
        await self._cluster.update(VOLUME_GROUP_SNAPSHOT_CONTENT, protected)


def _group_of_content(content: Object) -> list[Key]:
    reference = content["spec"]["volumeGroupSnapshotRef"]
    return [(reference.get("namespace", ""), reference.get("name", ""))]


def _is_member(snapshot: Object, group: Object) -> bool:
    owner = group_of(snapshot)
    return owner is not None and owner["uid"] == group["metadata"]["uid"]


def _handle_of(volume: Object) -> str | None:
    handle = (volume["spec"].get("csi") or {}).get("volumeHandle")
    return str(handle) if handle else None
