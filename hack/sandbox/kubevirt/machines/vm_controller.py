"""VirtualMachines: makes and ends their instances, and tells in their status how they are."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import CONTROLLER_REVISION, VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE
from sandbox.cluster.metadata import finalizers_of, is_deleting, labels_of, with_annotations, with_finalizers
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.instancetypes.matchers import DEFAULT_KINDS
from sandbox.kubevirt.instancetypes.revisions import InstancetypeRevisions, Matched, with_matched
from sandbox.kubevirt.machines.block_tracking import machine_state, starts_tracked, with_tracking
from sandbox.kubevirt.machines.children import instance_of, revision_of
from sandbox.kubevirt.machines.hotplug import bring_into_instance
from sandbox.kubevirt.machines.lifecycle import Action, decide, run_strategy
from sandbox.kubevirt.machines.machine_state import STATE_LABEL, state_volumes
from sandbox.kubevirt.machines.memory_dump_requests import settle_volumes
from sandbox.kubevirt.machines.vm_status import vm_status
from sandbox.kubevirt.names import MACHINE_COMPONENT, OBSERVED_VERSIONS, VM_FINALIZER, VM_GENERATION
from sandbox.kubevirt.volumes import claim_names, template_volumes


class VirtualMachineController:
    """What virt-controller does with VirtualMachines."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches
        self._revisions = InstancetypeRevisions(cluster)

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "virtualmachines", workers=4, max_backoff_seconds=5.0)
        controller.watch(self._caches.machines)
        controller.watch(self._caches.instances, lambda vmi: [key_of(vmi)])
        controller.watch(self._caches.claims, self._machines_of_claim)
        controller.watch(self._caches.volume_snapshot_classes, lambda _: map(key_of, self._caches.machines.list()))
        controller.watch(self._caches.storage_profiles, lambda _: map(key_of, self._caches.machines.list()))
        controller.watch(self._caches.configurations, lambda _: map(key_of, self._caches.machines.list()))
        controller.watch(self._caches.namespaces, self._machines_of_namespace)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a VM: its marks, its instance, its status."""
        namespace, name = key
        vm = await self._cluster.get(VIRTUAL_MACHINE, name, namespace)
        if vm is None:
            return None
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, name, namespace)
        if vmi is not None and not _owned(vmi, vm):
            vmi = None
        if is_deleting(vm):
            await self._end(vm, vmi)
            return None
        marked = _marked(vm)
        if marked != vm:
            await self._cluster.update(VIRTUAL_MACHINE, marked)
            return 0.0
        if await settle_volumes(self._cluster, vm, vmi) or await bring_into_instance(self._cluster, vm, vmi):
            return 0.0
        matched = await self._revisions.of(vm)
        now = datetime.now(UTC)
        decision = decide(vm, vmi, now)
        if decision.action is Action.START:
            vmi = await self._start(vm, matched)
        elif decision.action is Action.STOP and vmi is not None:
            await self._stop(vm, vmi)
        elif vmi is not None:
            await self._show_generation(vm, vmi)
        state = state_volumes(self._caches.claims.list(namespace), name)
        volumes = [*template_volumes(vm), *state]
        claims = self._caches.claims_named(list(claim_names(volumes).values()), namespace)
        status = vm_status(vm, vmi, claims, self._caches.snapshot_class_of, decision.requests, now, state)
        selected = self._caches.tracks_blocks(vm)
        status = with_matched(status, matched)
        status = with_tracking(status, machine_state(vm, vmi, self._caches.configuration, selected=selected))
        if status != vm.get("status"):
            await self._cluster.update_status(VIRTUAL_MACHINE, {**vm, "status": status})
        return decision.retry_seconds

    async def _start(self, vm: Object, matched: Matched) -> Object | None:
        with suppress(AlreadyExistsError):
            await self._cluster.create(CONTROLLER_REVISION, revision_of(vm))
        name = vm["metadata"]["name"]
        tracked = starts_tracked(self._caches.configuration, selected=self._caches.tracks_blocks(vm))
        try:
            vmi = await self._cluster.create(
                VIRTUAL_MACHINE_INSTANCE, instance_of(matched.expand(vm), timestamp(), tracked=tracked)
            )
        except AlreadyExistsError:
            return await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, name, vm["metadata"]["namespace"])
        message = f"Started the virtual machine by creating the new virtual machine instance {name}"
        await self._cluster.event(vm, "Normal", "SuccessfulCreate", message, MACHINE_COMPONENT)
        return vmi

    async def _stop(self, vm: Object, vmi: Object) -> None:
        namespace, name = key_of(vmi)
        uid = vmi["metadata"]["uid"]
        await self._cluster.delete(VIRTUAL_MACHINE_INSTANCE, name, namespace, uid=uid)
        message = f"Stopped the virtual machine by deleting the virtual machine instance {uid}"
        await self._cluster.event(vm, "Normal", "SuccessfulDelete", message, MACHINE_COMPONENT)

    async def _end(self, vm: Object, vmi: Object | None) -> None:
        """Deletes the instance first; the VM's own finalizer goes when the instance is gone."""
        if vmi is not None:
            if not is_deleting(vmi):
                await self._stop(vm, vmi)
            status = {**(vm.get("status") or {}), "printableStatus": "Terminating"}
            if status != vm.get("status"):
                await self._cluster.update_status(VIRTUAL_MACHINE, {**vm, "status": status})
        elif VM_FINALIZER in finalizers_of(vm):
            await self._cluster.update(VIRTUAL_MACHINE, with_finalizers(vm, remove=[VM_FINALIZER]))

    async def _show_generation(self, vm: Object, vmi: Object) -> None:
        """A change of the run strategy alone needs no restart: the instance is then of the newest generation."""
        revision = ((vmi.get("status") or {}).get("virtualMachineRevisionName") or "").rpartition("-")[2]
        generation = str(vm["metadata"]["generation"])
        shown = (vmi["metadata"].get("annotations") or {}).get(VM_GENERATION)
        if shown == generation or revision == generation or run_strategy(vm) == "Halted":
            return
        namespace, name = key_of(vmi)
        started = await self._cluster.get(CONTROLLER_REVISION, vmi["status"]["virtualMachineRevisionName"], namespace)
        if started is not None and started["data"]["spec"].get("template") == vm["spec"].get("template"):
            body = {"metadata": {"annotations": {VM_GENERATION: generation}}}
            await self._cluster.patch(VIRTUAL_MACHINE_INSTANCE, name, body, namespace)

    def _machines_of_namespace(self, namespace: Object) -> Iterable[Key]:
        return map(key_of, self._caches.machines.list(namespace["metadata"]["name"]))

    def _machines_of_claim(self, claim: Object) -> Iterable[Key]:
        namespace, name = key_of(claim)
        return [
            key_of(vm)
            for vm in self._caches.machines.list(namespace)
            if name in claim_names(template_volumes(vm)).values()
            or labels_of(claim).get(STATE_LABEL) == vm["metadata"]["name"]
        ]


def _owned(vmi: Object, vm: Object) -> bool:
    owners = vmi["metadata"].get("ownerReferences") or []
    return any(owner["uid"] == vm["metadata"]["uid"] for owner in owners)


def _marked(vm: Object) -> Object:
    """The VM with its finalizer, the observed versions, and a machine identity.

    KubeVirt's mutating webhook fills firmware and machine type when the VM is created; here the first reconcile does.
    """
    marked = with_annotations(with_finalizers(copy.deepcopy(vm), add=[VM_FINALIZER]), OBSERVED_VERSIONS)
    template = marked["spec"]["template"]["spec"]
    template.setdefault("architecture", "amd64")
    domain = template["domain"]
    domain.setdefault("machine", {}).setdefault("type", "q35")
    firmware = domain.setdefault("firmware", {})
    for field in ("uuid", "serial"):
        firmware.setdefault(field, str(uuid.uuid4()))
    for field, kind in DEFAULT_KINDS.items():
        if marked["spec"].get(field):
            marked["spec"][field].setdefault("kind", kind.kind.lower())
    return marked
