"""snapshot-controller: binds VolumeSnapshots to VolumeSnapshotContents, and keeps what is in use."""

from __future__ import annotations

import asyncio
import copy

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller, TryAgainError
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import annotations_of, finalizers_of, is_deleting, with_annotations, with_finalizers
from sandbox.csi.caches import Caches
from sandbox.csi.names import (
    CLAIM_SOURCE_PROTECTION,
    CONTENT_BOUND_PROTECTION,
    SNAPSHOT_BEING_DELETED,
    SNAPSHOT_BOUND_PROTECTION,
    SNAPSHOT_IN_GROUP_PROTECTION,
    SNAPSHOT_SOURCE_PROTECTION,
)
from sandbox.csi.provisioner import restores_from
from sandbox.csi.snapshot_binding import (
    SnapshotError,
    check_claim,
    check_content,
    content_name_of,
    dynamic_content,
    group_of,
    is_bound_to,
    is_ready,
    is_static,
    snapshot_class,
    snapshot_status,
)

_COMPONENT = "snapshot-controller"


class SnapshotController:
    """Looks at snapshots, contents and the claims that are being cut."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def run(self) -> None:
        """Runs until cancelled."""
        caches = self._caches
        snapshots = Controller(self._cluster, "snapshots", backoff_seconds=0.5, workers=4).watch(caches.snapshots)
        snapshots.watch(caches.contents, _snapshot_of)
        snapshots.watch(caches.groups, self._members_of)
        contents = Controller(self._cluster, "contents").watch(caches.contents)
        contents.watch(caches.snapshots, lambda snapshot: [("", content_name_of(snapshot))])
        claims = Controller(self._cluster, "claims-being-cut").watch(caches.snapshots, _claim_of)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(snapshots.run(self._reconcile_snapshot))
            tasks.create_task(contents.run(self._reconcile_content))
            tasks.create_task(claims.run(self._release_claim))

    def _members_of(self, group: Object) -> list[Key]:
        """The end of a group lets its members go."""
        namespace, uid = group["metadata"]["namespace"], group["metadata"]["uid"]
        members = [item for item in self._caches.snapshots.list(namespace) if (group_of(item) or {}).get("uid") == uid]
        return [(namespace, item["metadata"]["name"]) for item in members]

    async def _reconcile_snapshot(self, key: Key) -> None:
        snapshot = self._caches.snapshots.get(key[1], key[0])
        if snapshot is None:
            return
        if is_deleting(snapshot):
            await self._let_go(snapshot)
            return
        try:
            if not is_static(snapshot):
                snapshot = await self._protect(snapshot, SNAPSHOT_SOURCE_PROTECTION)
            content = await self._content_for(snapshot)
        except SnapshotError as error:
            await self._complain(snapshot, error)
            if error.retried:
                raise TryAgainError(error.message) from error
            return
        snapshot = await self._protect(snapshot, SNAPSHOT_SOURCE_PROTECTION)
        snapshot = await self._report(snapshot, content)
        if content["spec"]["deletionPolicy"] == "Delete":
            await self._protect(snapshot, SNAPSHOT_BOUND_PROTECTION)

    async def _content_for(self, snapshot: Object) -> Object:
        """The content, bound to the snapshot; made if the snapshot is a new cut of a claim. Raises SnapshotError."""
        name = content_name_of(snapshot)
        content = self._caches.contents.get(name)
        bound = (snapshot.get("status") or {}).get("boundVolumeSnapshotContentName")
        if content is None and group_of(snapshot):
            raise TryAgainError("its content is made together with it")
        if content is None and not is_static(snapshot) and not bound:
            return await self._create_content(snapshot)
        content = check_content(snapshot, content)
        if is_bound_to(content, snapshot):
            return content
        changed = copy.deepcopy(content)
        changed["spec"]["volumeSnapshotRef"]["uid"] = snapshot["metadata"]["uid"]
        return await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, changed)

    async def _create_content(self, snapshot: Object) -> Object:
        namespace = snapshot["metadata"]["namespace"]
        claim = self._caches.claims.get(snapshot["spec"]["source"]["persistentVolumeClaimName"], namespace)
        bound_to = claim["spec"].get("volumeName") or "" if claim else ""
        volume = check_claim(snapshot, claim, self._caches.volumes.get(bound_to))
        chosen = snapshot_class(snapshot, volume["spec"]["csi"]["driver"], self._caches.snapshot_classes.list())
        if claim and CLAIM_SOURCE_PROTECTION not in finalizers_of(claim):
            await self._cluster.update(PERSISTENT_VOLUME_CLAIM, with_finalizers(claim, add=[CLAIM_SOURCE_PROTECTION]))
        if not snapshot["spec"].get("volumeSnapshotClassName"):
            named = copy.deepcopy(snapshot)
            named["spec"]["volumeSnapshotClassName"] = chosen["metadata"]["name"]
            snapshot = await self._cluster.update(VOLUME_SNAPSHOT, named)
        try:
            content = await self._cluster.create(VOLUME_SNAPSHOT_CONTENT, dynamic_content(snapshot, volume, chosen))
        except AlreadyExistsError:
            content = await self._cluster.get(VOLUME_SNAPSHOT_CONTENT, content_name_of(snapshot)) or {}
            return check_content(snapshot, content or None)
        where = f"{namespace}/{snapshot['metadata']['name']}"
        message = f"Waiting for a snapshot {where} to be created by the CSI driver."
        await self._cluster.event(snapshot, "Normal", "CreatingSnapshot", message, _COMPONENT)
        return content

    async def _report(self, snapshot: Object, content: Object) -> Object:
        before, status = snapshot.get("status") or {}, snapshot_status(snapshot, content)
        if status == before:
            return snapshot
        changed = copy.deepcopy(snapshot)
        changed["status"] = status
        changed = await self._cluster.update_status(VOLUME_SNAPSHOT, changed)
        where = f"Snapshot {snapshot['metadata']['namespace']}/{snapshot['metadata']['name']}"
        if status.get("creationTime") and not before.get("creationTime"):
            message = f"{where} was successfully created by the CSI driver."
            await self._cluster.event(snapshot, "Normal", "SnapshotCreated", message, _COMPONENT)
        if status["readyToUse"] and not before.get("readyToUse"):
            await self._cluster.event(snapshot, "Normal", "SnapshotReady", f"{where} is ready to use.", _COMPONENT)
        return changed

    async def _complain(self, snapshot: Object, error: SnapshotError) -> None:
        before = snapshot.get("status") or {}
        if (before.get("error") or {}).get("message") == error.message:
            return
        changed = copy.deepcopy(snapshot)
        failure = {"message": error.message, "time": timestamp()}
        changed["status"] = {**before, "error": failure, "readyToUse": False}
        await self._cluster.update_status(VOLUME_SNAPSHOT, changed)
        await self._cluster.event(snapshot, "Warning", error.reason, error.message, _COMPONENT)

    async def _protect(self, snapshot: Object, finalizer: str) -> Object:
        if finalizer in finalizers_of(snapshot):
            return snapshot
        return await self._cluster.update(VOLUME_SNAPSHOT, with_finalizers(snapshot, add=[finalizer]))

    async def _let_go(self, snapshot: Object) -> None:
        """Ends a snapshot that is being deleted: its content first, unless the content is to be retained."""
        content = self._caches.contents.get(content_name_of(snapshot))
        if content is not None and not is_bound_to(content, snapshot):
            content = None
        claims = self._caches.claims.list(snapshot["metadata"]["namespace"])
        if content and any(restores_from(claim, snapshot["metadata"]["name"]) for claim in claims):
            message = "Snapshot is being used to restore a PVC"
            await self._cluster.event(snapshot, "Warning", "SnapshotDeletePending", message, _COMPONENT)
            raise TryAgainError(message)
        await self._refuse_in_group(snapshot)
        if content and SNAPSHOT_BEING_DELETED not in annotations_of(content):
            marked = with_annotations(content, {SNAPSHOT_BEING_DELETED: "yes"})
            content = await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, marked)
        if content and content["spec"]["deletionPolicy"] == "Delete":
            if not is_deleting(content):
                name, uid = content["metadata"]["name"], content["metadata"]["uid"]
                await self._cluster.delete(VOLUME_SNAPSHOT_CONTENT, name, uid=uid)
            if CONTENT_BOUND_PROTECTION in finalizers_of(content):
                return  # the content's end brings us back
        ours = [SNAPSHOT_SOURCE_PROTECTION, SNAPSHOT_BOUND_PROTECTION, SNAPSHOT_IN_GROUP_PROTECTION]
        if set(ours) & set(finalizers_of(snapshot)):
            await self._cluster.update(VOLUME_SNAPSHOT, with_finalizers(snapshot, remove=ours))

    async def _refuse_in_group(self, snapshot: Object) -> None:
        """A member goes with its group, and not before."""
        name, namespace = (
            (snapshot.get("status") or {}).get("volumeGroupSnapshotName"),
            snapshot["metadata"]["namespace"],
        )
        if name and self._caches.groups.get(name, namespace):
            message = (
                f"deletion of the individual volume snapshot is not allowed as it belongs to group snapshot {name}"
            )
            await self._cluster.event(snapshot, "Warning", "SnapshotDeletePending", message, _COMPONENT)
            raise TryAgainError(message)

    async def _reconcile_content(self, key: Key) -> None:
        content = self._caches.contents.get(key[1])
        if content is None:
            return
        reference = content["spec"]["volumeSnapshotRef"]
        if not is_deleting(content):
            if reference.get("uid") and CONTENT_BOUND_PROTECTION not in finalizers_of(content):
                protected = with_finalizers(content, add=[CONTENT_BOUND_PROTECTION])
                await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, protected)
            return
        if SNAPSHOT_BEING_DELETED in annotations_of(content):
            return
        snapshot = await self._cluster.get(VOLUME_SNAPSHOT, reference["name"], reference["namespace"])
        if snapshot is None or not is_bound_to(content, snapshot):
            # Nobody will delete this content any more: let csi-snapshotter have it.
            marked = with_annotations(content, {SNAPSHOT_BEING_DELETED: "yes"})
            await self._cluster.update(VOLUME_SNAPSHOT_CONTENT, marked)

    async def _release_claim(self, key: Key) -> None:
        """Frees a claim once no snapshot of it is being cut any more."""
        claim = self._caches.claims.get(key[1], key[0])
        if claim is None or CLAIM_SOURCE_PROTECTION not in finalizers_of(claim):
            return
        snapshots = self._caches.snapshots.list(key[0])
        if not any(_claim_of(snapshot) == [key] and not is_ready(snapshot) for snapshot in snapshots):
            freed = with_finalizers(claim, remove=[CLAIM_SOURCE_PROTECTION])
            await self._cluster.update(PERSISTENT_VOLUME_CLAIM, freed)


def _snapshot_of(content: Object) -> list[Key]:
    reference = content["spec"]["volumeSnapshotRef"]
    return [(reference.get("namespace", ""), reference.get("name", ""))]


def _claim_of(snapshot: Object) -> list[Key]:
    name = snapshot["spec"]["source"].get("persistentVolumeClaimName")
    return [(snapshot["metadata"]["namespace"], name)] if name else []
