"""Carries out the steps of restores/plan.py against the API server."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_RESTORE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
)
from sandbox.cluster.metadata import annotations_of, controller_reference, with_finalizers, with_status
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.instancetypes.copies import copy_revisions, own_revisions
from sandbox.kubevirt.names import RESTORE_COMPONENT, RESTORE_FINALIZER, RESTORE_NAME
from sandbox.kubevirt.restores import steps
from sandbox.kubevirt.restores.observed import Observed
from sandbox.kubevirt.restores.plan import next_step
from sandbox.kubevirt.stepping import take_steps


class RestoreController:
    """Brings every VirtualMachineRestore to its end."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "restores", max_backoff_seconds=5.0)
        controller.watch(self._caches.restores)
        controller.watch(self._caches.claims, self._restore_of_claim)
        controller.watch(self._caches.machines, self._restores_of_machine)
        controller.watch(self._caches.instances, self._restores_of_machine)
        controller.watch(self._caches.snapshots, self._restores_of_snapshot)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """Takes steps until there is something to wait for."""
        return await take_steps(lambda: self._observe(key), next_step, self._take)

    async def _observe(self, key: Key) -> Observed | None:
        """Reads everything anew, since each step must see the one before."""
        namespace, name = key
        restore = await self._cluster.get(VM_RESTORE, name, namespace)
        if restore is None:
            return None
        spec = restore["spec"]
        snapshot = await self._cluster.get(VM_SNAPSHOT, spec["virtualMachineSnapshotName"], namespace)
        content_name = ((snapshot or {}).get("status") or {}).get("virtualMachineSnapshotContentName")
        content = await self._cluster.get(VM_SNAPSHOT_CONTENT, content_name, namespace) if content_name else None
        target = await self._cluster.get(VIRTUAL_MACHINE, spec["target"]["name"], namespace)
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, spec["target"]["name"], namespace)
        claims = await self._claims(restore)
        return Observed(
            restore=restore,
            snapshot=snapshot,
            content=content,
            target=target,
            target_runs=vmi is not None,
            claims=claims,
            restore_sizes=self._restore_sizes(namespace, restore),
            late_claims=frozenset(name for name, claim in claims.items() if self._binds_late(claim)),
        )

    async def _claims(self, restore: Object) -> dict[str, Object]:
        found: dict[str, Object] = {}
        for entry in (restore.get("status") or {}).get("restores") or []:
            name = entry["persistentVolumeClaim"]
            claim = await self._cluster.get(PERSISTENT_VOLUME_CLAIM, name, restore["metadata"]["namespace"])
            if claim is not None:
                found[name] = claim
        return found

    def _restore_sizes(self, namespace: str, restore: Object) -> dict[str, str]:
        names = [entry["volumeSnapshotName"] for entry in (restore.get("status") or {}).get("restores") or []]
        found = {name: self._caches.volume_snapshots.get(name, namespace) for name in names}
        sizes = {name: ((item or {}).get("status") or {}).get("restoreSize") for name, item in found.items()}
        return {name: str(size) for name, size in sizes.items() if size}

    def _binds_late(self, claim: Object) -> bool:
        storage_class = self._caches.storage_classes.get(claim["spec"].get("storageClassName") or "") or {}
        return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    async def _take(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.Adopt(owner):
                adopted = with_finalizers(observed.restore, add=[RESTORE_FINALIZER])
                if owner is not None:
                    adopted["metadata"]["ownerReferences"] = [controller_reference(owner)]
                await self._cluster.update(VM_RESTORE, adopted)
            case steps.RemoveFinalizer():
                await self._cluster.update(VM_RESTORE, with_finalizers(observed.restore, remove=[RESTORE_FINALIZER]))
            case steps.WriteStatus(status, event):
                await self._cluster.update_status(VM_RESTORE, {**observed.restore, "status": status})
                if event:
                    await self._cluster.event(observed.restore, *event, RESTORE_COMPONENT)
            case steps.DeleteClaims(names):
                for name in names:
                    await self._cluster.delete(PERSISTENT_VOLUME_CLAIM, name, observed.namespace)
            case steps.CreateClaims(claims):
                for claim in claims:
                    with suppress(AlreadyExistsError):
                        await self._cluster.create(PERSISTENT_VOLUME_CLAIM, claim)
            case _:
                await self._take_on_target(step, observed)

    async def _take_on_target(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.CreateTarget(vm):
                await self._copy_revisions(observed)
                with suppress(AlreadyExistsError):
                    await own_revisions(self._cluster, await self._cluster.create(VIRTUAL_MACHINE, vm))
            case steps.UpdateTarget(vm):
                await self._copy_revisions(observed)
                await self._cluster.update(VIRTUAL_MACHINE, vm)
            case steps.StopTarget():
                body = {"spec": {"runStrategy": "Halted", "running": None}}
                await self._cluster.patch(VIRTUAL_MACHINE, observed.target_name, body, observed.namespace)
            case steps.MarkTarget(name):
                assert observed.target is not None
                marked = with_status(observed.target, {"restoreInProgress": name})
                await self._cluster.update_status(VIRTUAL_MACHINE, marked)

    async def _copy_revisions(self, observed: Observed) -> None:
        """The VM's revisions out of the snapshot's; a VM that is still to be made cannot own them yet."""
        assert observed.content is not None
        captured = observed.content["spec"]["source"]["virtualMachine"]["spec"]
        old, new = observed.restore["spec"]["virtualMachineSnapshotName"], observed.target_name
        await copy_revisions(self._cluster, captured, observed.namespace, old=old, new=new, owner=observed.target)

    def _restore_of_claim(self, claim: Object) -> Iterable[Key]:
        name = annotations_of(claim).get(RESTORE_NAME)
        namespace = claim["metadata"]["namespace"]
        waiting = [
            key_of(restore)
            for restore in self._caches.restores.list(namespace)
            if any(
                entry["persistentVolumeClaim"] == claim["metadata"]["name"]
                for entry in (restore.get("status") or {}).get("restores") or []
            )
        ]
        return {*waiting, (namespace, name)} if name else waiting

    def _restores_of_machine(self, vm: Object) -> Iterable[Key]:
        namespace, name = key_of(vm)
        return [
            key_of(restore)
            for restore in self._caches.restores.list(namespace)
            if restore["spec"]["target"]["name"] == name
        ]

    def _restores_of_snapshot(self, snapshot: Object) -> Iterable[Key]:
        namespace, name = key_of(snapshot)
        return [
            key_of(restore)
            for restore in self._caches.restores.list(namespace)
            if restore["spec"]["virtualMachineSnapshotName"] == name
        ]
