"""Carries out the steps of snapshots/plan.py against the API server and the guests."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from contextlib import suppress

from sandbox.cluster.client import Cluster, Object, Objects, timestamp
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError, NotFoundError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import (
    CONTROLLER_REVISION,
    VIRTUAL_MACHINE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
)
from sandbox.cluster.metadata import with_finalizers, with_status
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.instancetypes.copies import copy_revisions
from sandbox.kubevirt.machines.machine_state import state_volumes
from sandbox.kubevirt.names import CONTENT_FINALIZER, SNAPSHOT_COMPONENT, SNAPSHOT_FINALIZER, SOURCE_FINALIZER
from sandbox.kubevirt.quiescing import Quiescing
from sandbox.kubevirt.snapshots import steps
from sandbox.kubevirt.snapshots.children import content_name, volume_snapshot_name
from sandbox.kubevirt.snapshots.observed import Observed
from sandbox.kubevirt.snapshots.plan import next_step
from sandbox.kubevirt.stepping import take_steps
from sandbox.kubevirt.volumes import claim_names, template_volumes


class SnapshotController:
    """Brings every VirtualMachineSnapshot to its outcome, and keeps it true afterwards."""

    def __init__(self, cluster: Cluster, caches: Caches, quiescing: Quiescing) -> None:
        self._cluster = cluster
        self._caches = caches
        self._quiescing = quiescing

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "snapshots", workers=4, max_backoff_seconds=5.0)
        controller.watch(self._caches.snapshots)
        controller.watch(self._caches.contents, self._snapshot_of_content)
        controller.watch(self._caches.volume_snapshots, self._snapshot_of_volume_snapshot)
        controller.watch(self._caches.machines, self._snapshots_of_machine)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """Takes steps until there is something to wait for."""
        return await take_steps(lambda: self._observe(key), next_step, self._take)

    async def _observe(self, key: Key) -> Observed | None:
        """Reads everything anew, since each step must see the one before."""
        namespace, name = key
        snapshot = await self._cluster.get(VM_SNAPSHOT, name, namespace)
        if snapshot is None:
            return None
        source = snapshot["spec"]["source"]["name"]
        vm = await self._cluster.get(VIRTUAL_MACHINE, source, namespace)
        vmi = self._caches.instances.get(source, namespace)
        content = await self._cluster.get(VM_SNAPSHOT_CONTENT, content_name(snapshot["metadata"]["uid"]), namespace)
        state = state_volumes(self._caches.claims.list(namespace), source)
        names = list(claim_names([*template_volumes(vm), *state]).values()) if vm else []
        claims = self._caches.claims_named(names, namespace)
        return Observed(
            snapshot=snapshot,
            vm=vm,
            vmi=vmi,
            content=content,
            volume_snapshots=await self._volume_snapshots(content),
            claims=claims,
            snapshot_classes={name: self._caches.snapshot_class_of(claim) for name, claim in claims.items()},
            started_spec=await self._started_spec(vmi) if content is None else None,
            pods_in_use=self._pods_in_use(namespace, set(names)),
            frozen=self._quiescing.frozen((namespace, source)),
            state_volumes=state,
        )

    async def _volume_snapshots(self, content: Object | None) -> dict[str, Object]:
        backups = content["spec"]["volumeBackups"] if content else []
        found: dict[str, Object] = {}
        for backup in backups:
            name = backup["volumeSnapshotName"]
            volume_snapshot = await self._cluster.get(VOLUME_SNAPSHOT, name, content_namespace(content))
            if volume_snapshot is not None:
                found[name] = volume_snapshot
        return found

    async def _started_spec(self, vmi: Object | None) -> Object | None:
        revision = ((vmi or {}).get("status") or {}).get("virtualMachineRevisionName")
        if vmi is None or not revision:
            return None
        found = await self._cluster.get(CONTROLLER_REVISION, revision, vmi["metadata"]["namespace"])
        return copy.deepcopy(found["data"]["spec"]) if found else None

    def _pods_in_use(self, namespace: str, names: set[str]) -> int:
        return sum(
            any((volume.get("persistentVolumeClaim") or {}).get("claimName") in names for volume in pod_volumes(pod))
            for pod in self._caches.pods.list(namespace)
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        )

    async def _take(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.Freeze() | steps.Thaw():
                await self._quiesce(step, observed)
            case steps.LockSource() | steps.UnlockSource():
                await self._lock(step, observed)
            case steps.AddFinalizer():
                await self._cluster.update(VM_SNAPSHOT, with_finalizers(observed.snapshot, add=[SNAPSHOT_FINALIZER]))
            case steps.RemoveFinalizer():
                await self._cluster.update(VM_SNAPSHOT, with_finalizers(observed.snapshot, remove=[SNAPSHOT_FINALIZER]))
            case steps.WriteStatus(status):
                await self._cluster.update_status(VM_SNAPSHOT, {**observed.snapshot, "status": status})
            case _:
                await self._take_on_content(step, observed)

    async def _take_on_content(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.CreateContent(content):
                await self._create_content(content, observed)
            case steps.CreateVolumeSnapshots(volume_snapshots):
                await self._create_volume_snapshots(volume_snapshots, observed)
            case steps.WriteContentStatus(status, missing):
                assert observed.content is not None
                await self._cluster.update_status(VM_SNAPSHOT_CONTENT, {**observed.content, "status": status})
                for name in missing:
                    message = f"VolumeSnapshot {name} no longer exists"
                    await self._event(observed.content, "Warning", "VolumeSnapshotMissing", message)
            case steps.DeleteContent():
                name = content_name(observed.uid)
                await self._cluster.delete(VM_SNAPSHOT_CONTENT, name, observed.snapshot["metadata"]["namespace"])
            case steps.ReleaseContent():
                assert observed.content is not None
                with suppress(NotFoundError):
                    released = with_finalizers(observed.content, remove=[CONTENT_FINALIZER])
                    await self._cluster.update(VM_SNAPSHOT_CONTENT, released)

    async def _lock(self, step: steps.LockSource | steps.UnlockSource, observed: Observed) -> None:
        """Both writes to the VM; the order differs, so that a crash in between can be told."""
        assert observed.vm is not None
        if isinstance(step, steps.LockSource):
            name = observed.snapshot["metadata"]["name"]
            vm = await self._cluster.update_status(
                VIRTUAL_MACHINE, with_status(observed.vm, {"snapshotInProgress": name})
            )
            await self._cluster.update(VIRTUAL_MACHINE, with_finalizers(vm, add=[SOURCE_FINALIZER]))
            return
        vm = await self._cluster.update(VIRTUAL_MACHINE, with_finalizers(observed.vm, remove=[SOURCE_FINALIZER]))
        # Without the finalizer a VM that is being deleted may be gone already.
        with suppress(NotFoundError):
            await self._cluster.update_status(VIRTUAL_MACHINE, with_status(vm, {"snapshotInProgress": None}))

    async def _quiesce(self, step: steps.Freeze | steps.Thaw, observed: Observed) -> None:
        key = (observed.snapshot["metadata"]["namespace"], observed.snapshot["spec"]["source"]["name"])
        try:
            if isinstance(step, steps.Freeze):
                await self._quiescing.freeze(key, step.seconds)
            else:
                await self._quiescing.thaw(key)
        except GuestError as error:
            if observed.content is None:
                raise OSError(str(error)) from error
            message = (
                f"Internal error occurred: unexpected return code 500 (500 Internal Server Error), message: {error}"
            )
            failed = {
                **observed.content_status,
                "readyToUse": False,
                "error": {"message": message, "time": timestamp()},
            }
            await self._cluster.update_status(VM_SNAPSHOT_CONTENT, {**observed.content, "status": failed})

    async def _create_content(self, content: Object, observed: Observed) -> None:
        assert observed.vm is not None
        (namespace, new), old = key_of(observed.snapshot), observed.vm["metadata"]["name"]
        await copy_revisions(self._cluster, observed.vm["spec"], namespace, old=old, new=new, owner=observed.snapshot)
        with suppress(AlreadyExistsError):
            await self._cluster.create(VM_SNAPSHOT_CONTENT, content)
        name = content["metadata"]["name"]
        message = f"Successfully created VirtualMachineSnapshotContent {name}"
        await self._event(observed.snapshot, "Normal", "SuccessfulVirtualMachineSnapshotContentCreate", message)

    async def _create_volume_snapshots(self, volume_snapshots: Objects, observed: Observed) -> None:
        """All at once, and the events after them: a frozen guest waits."""
        assert observed.content is not None
        answers = await asyncio.gather(
            *(self._cluster.create(VOLUME_SNAPSHOT, item) for item in volume_snapshots), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, AlreadyExistsError):
                raise answer
        for item in volume_snapshots:
            message = f"Successfully created VolumeSnapshot {item['metadata']['name']}"
            await self._event(observed.content, "Normal", "SuccessfulVolumeSnapshotCreate", message)

    async def _event(self, regarding: Object, event_type: str, reason: str, message: str) -> None:
        await self._cluster.event(regarding, event_type, reason, message, SNAPSHOT_COMPONENT)

    def _snapshot_of_content(self, content: Object) -> Iterable[Key]:
        return [(content["metadata"]["namespace"], content["spec"]["virtualMachineSnapshotName"])]

    def _snapshot_of_volume_snapshot(self, volume_snapshot: Object) -> Iterable[Key]:
        namespace, name = key_of(volume_snapshot)
        if not name.startswith(volume_snapshot_name("", "")[:11]):
            return []
        return [
            key_of(snapshot)
            for snapshot in self._caches.snapshots.list(namespace)
            if name.startswith(volume_snapshot_name(snapshot["metadata"]["uid"], ""))
        ]

    def _snapshots_of_machine(self, vm: Object) -> Iterable[Key]:
        namespace, name = key_of(vm)
        return [
            key_of(snapshot)
            for snapshot in self._caches.snapshots.list(namespace)
            if snapshot["spec"]["source"]["name"] == name
        ]


def content_namespace(content: Object | None) -> str:
    """The namespace of a content that exists."""
    assert content is not None
    return str(content["metadata"]["namespace"])


def pod_volumes(pod: Object) -> list[Object]:
    """The volumes of a pod."""
    return list(pod["spec"].get("volumes") or [])
