"""VirtualMachineInstances: a launcher pod that holds the claims, and the guest itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import NotFoundError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import POD, VIRTUAL_MACHINE_INSTANCE
from sandbox.cluster.metadata import annotations_of, finalizers_of, is_deleting, labels_of, with_finalizers
from sandbox.cluster.quantity import parse_quantity
from sandbox.guest.commandline import MINIMUM_MEMORY_MIB, Machine
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.first_consumer import select_node
from sandbox.kubevirt.machines.children import grace_seconds, launcher_of
from sandbox.kubevirt.machines.container_disks import container_disks
from sandbox.kubevirt.machines.disks import backing_path, disk_of
from sandbox.kubevirt.machines.hotplug import HotplugDisks, plugged_claims
from sandbox.kubevirt.machines.hypervisor import Hypervisor, Running
from sandbox.kubevirt.machines.lifecycle import FINAL_PHASES, phase_of
from sandbox.kubevirt.machines.machine_state import STATE_LABEL, provided_state_claim, write_state
from sandbox.kubevirt.machines.memory_dumps import MemoryDumps
from sandbox.kubevirt.machines.migrations import launcher_among, launcher_label
from sandbox.kubevirt.machines.utility_volumes import UtilityVolumes, instance_of_attachment
from sandbox.kubevirt.machines.vmi_status import ended_status, launched_status, missing_claims_status
from sandbox.kubevirt.names import FAULT, MACHINE_COMPONENT, NODE_NAME
from sandbox.kubevirt.names import VM_FINALIZER as _FINALIZER
from sandbox.kubevirt.names import VMI_FOREGROUND_FINALIZER as _FOREGROUND_FINALIZER
from sandbox.kubevirt.volumes import claim_names


class InstanceController:
    """What virt-controller, the scheduler and virt-handler do with VirtualMachineInstances, on one node."""

    def __init__(self, cluster: Cluster, caches: Caches, hypervisor: Hypervisor, volumes: Path, cache: Path) -> None:
        self._cluster = cluster
        self._caches = caches
        self._hypervisor = hypervisor
        self._volumes = volumes
        self._cache = cache
        self._utility_volumes = UtilityVolumes(cluster, caches)
        self._hotplug = HotplugDisks(cluster, caches, volumes)
        self._memory_dumps = MemoryDumps(caches, hypervisor, volumes)

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "instances", workers=4, max_backoff_seconds=5.0)
        controller.watch(self._caches.instances)
        controller.watch(self._caches.claims, self._instances_of_claim)
        controller.watch(self._caches.pods, _instance_of_pod)
        controller.watch(self._caches.machines, lambda vm: [key_of(vm)])
        self._hypervisor.on_change = self._memory_dumps.on_change = controller.queue.add
        try:
            await controller.run(self.reconcile)
        finally:
            await self._memory_dumps.close()

    async def reconcile(self, key: Key) -> float | None:
        """One look at an instance."""
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, key[1], key[0])
        running = self._hypervisor.find(key)
        if running is not None and (vmi is None or running.uid != vmi["metadata"]["uid"]):
            # Nobody's guest: its instance was removed by force.
            await running.guest.kill()
            self._hypervisor.forget(key)
            running = None
        if vmi is None:
            return None
        if is_deleting(vmi):
            await self._end(vmi, running)
        elif phase_of(vmi) in FINAL_PHASES:
            await self._finish_pod(vmi)
        elif running is None and phase_of(vmi) == "Running":
            # The process that ran this guest has ended, and the guest with it.
            await self._write(vmi, ended_status(vmi, succeeded=False, now=datetime.now(UTC)))
        else:
            await self._bring_up(vmi, running)
        return None

    async def _bring_up(self, vmi: Object, running: Running | None) -> None:
        namespace, _ = key = key_of(vmi)
        wanted = claim_names(vmi["spec"].get("volumes") or [])
        claims = self._caches.claims_named(list(wanted.values()), namespace)
        missing = [name for name in wanted.values() if name not in claims]
        state = await provided_state_claim(self._cluster, vmi)
        pod = await self._launcher(vmi)
        if pod is not None and is_deleting(pod):
            await self._end_with_pod(vmi, pod, running)
            return
        if missing and pod is None:
            await self._write(vmi, missing_claims_status(vmi, missing, datetime.now(UTC)))
            return
        if pod is None:
            pod = await self._launch(vmi, state)
        unbound = _unbound([*claims.values(), state])
        if running is None and unbound:
            for claim in unbound:
                await select_node(self._cluster, self._caches, claim)
        elif running is None:
            running = await self._start(vmi, pod, claims, state)
            if running is None:
                return
        elif running.exit_status is None:
            await self._hypervisor.set_faults(key, self._faults(vmi))
        status = launched_status(vmi, pod, running, claims, datetime.now(UTC))
        if running is not None and running.exit_status is None:
            await self._hotplug.unplug(vmi, running)
            plugged = await self._utility_volumes.statuses(vmi, pod, plugged_claims(vmi, running))
            plugged = await self._hotplug.shown(vmi, running, plugged)
            status["volumeStatus"] += self._memory_dumps.shown(vmi, plugged)
        await self._write(vmi, status)

    async def _start(self, vmi: Object, pod: Object, claims: dict[str, Object], state: Object | None) -> Running | None:
        try:
            if state is not None:
                await asyncio.to_thread(write_state, self._backing(state), vmi)
            machine = await self._machine(vmi, claims)
            running = await self._hypervisor.start(key_of(vmi), vmi["metadata"]["uid"], machine)
        except GuestError as error:
            await self._cluster.event(vmi, "Warning", "SyncFailed", f"server error. {error}", "virt-handler")
            await self._write(vmi, ended_status(vmi, succeeded=False, now=datetime.now(UTC)))
            return None
        await self._show_pod(pod, "Running")
        return running

    async def _machine(self, vmi: Object, claims: dict[str, Object]) -> Machine:
        """The guest: its disks are the volumes on claims and the container disks that the sandbox knows.

        The sandbox's kernel boots it, whatever else the VM names.
        """
        domain = vmi["spec"]["domain"]
        volumes = vmi["spec"].get("volumes") or []
        memory = (domain.get("memory") or {}).get("guest") or f"{MINIMUM_MEMORY_MIB}Mi"
        disks = tuple(
            disk_of(volume, claims[name], self._caches.volumes.get(claims[name]["spec"]["volumeName"]), self._volumes)
            for volume, name in claim_names(volumes).items()
        )
        programs = await asyncio.to_thread(container_disks, volumes, self._cache) if self._hypervisor.boots else ()
        return Machine(
            name=vmi["metadata"]["name"],
            disks=disks,
            programs=programs,
            memory_mib=parse_quantity(memory) >> 20,
            cpus=min(_cpus(domain.get("cpu") or {}), cpu_count() or 1),
            uuid=(domain.get("firmware") or {}).get("uuid"),
            faults=self._faults(vmi),
        )

    async def _end(self, vmi: Object, running: Running | None) -> None:
        """Powers the guest off first; the pod, and with it the claims, go only after the guest."""
        key = key_of(vmi)
        pod = await self._launcher(vmi)
        if running is not None and running.exit_status is None:
            self._hypervisor.stop(key, grace_seconds(vmi))
            if pod is not None:
                if not is_deleting(pod):
                    await self._cluster.delete(POD, pod["metadata"]["name"], key[0])
                await self._write(vmi, launched_status(vmi, pod, running, {}, datetime.now(UTC)) | _volumes_of(vmi))
            return
        succeeded = running is None or running.exit_status == 0 or running.stopping is not None
        vmi = await self._write(vmi, ended_status(vmi, succeeded, datetime.now(UTC)))
        self._hypervisor.forget(key)
        if pod is not None:
            await self._cluster.delete(POD, pod["metadata"]["name"], key[0], grace_seconds=0)
        if {_FINALIZER, _FOREGROUND_FINALIZER} & set(finalizers_of(vmi)):
            with suppress(NotFoundError):
                freed = with_finalizers(vmi, remove=[_FINALIZER, _FOREGROUND_FINALIZER])
                await self._cluster.update(VIRTUAL_MACHINE_INSTANCE, freed)

    async def _end_with_pod(self, vmi: Object, pod: Object, running: Running | None) -> None:
        """Somebody deleted the launcher pod, as an eviction and a namespace that ends do: its guest powers off."""
        key = key_of(vmi)
        if running is not None and running.exit_status is None:
            self._hypervisor.stop(key, grace_seconds(vmi))
            return
        await self._write(vmi, ended_status(vmi, running is not None, datetime.now(UTC)))
        self._hypervisor.forget(key)
        await self._cluster.delete(POD, pod["metadata"]["name"], key[0], grace_seconds=0)

    async def _launcher(self, vmi: Object) -> Object | None:
        pods = await self._cluster.list(POD, vmi["metadata"]["namespace"], labels=launcher_label(vmi))
        return launcher_among(pods, vmi)

    def _backing(self, state: Object) -> Path:
        volume = self._caches.volumes.get(state["spec"]["volumeName"])
        return backing_path(STATE_LABEL, state, volume, self._volumes)

    async def _launch(self, vmi: Object, state: Object | None) -> Object:
        pod = await self._cluster.create(POD, launcher_of(vmi, state["metadata"]["name"] if state else None))
        message = f"Created virtual machine pod {pod['metadata']['name']}"
        await self._cluster.event(vmi, "Normal", "SuccessfulCreate", message, MACHINE_COMPONENT)
        return pod

    async def _finish_pod(self, vmi: Object) -> None:
        pod = await self._launcher(vmi)
        if pod is not None and (pod.get("status") or {}).get("phase") != phase_of(vmi):
            await self._show_pod(pod, phase_of(vmi))

    async def _show_pod(self, pod: Object, phase: str) -> None:
        now = timestamp()
        ready = "True" if phase == "Running" else "False"
        conditions = [
            {"type": kind, "status": ready if "Ready" in kind else "True", "lastTransitionTime": now}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ]
        status = {**(pod.get("status") or {}), "phase": phase, "conditions": conditions, "startTime": now}
        status["containerStatuses"] = [
            {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
            | {"ready": phase == "Running", "started": phase == "Running"}
            for container in pod["spec"]["containers"]
        ]
        with suppress(NotFoundError):
            await self._cluster.update_status(POD, {**pod, "status": status})

    async def _write(self, vmi: Object, status: Object) -> Object:
        placed = {NODE_NAME: status["nodeName"]} if "nodeName" in status else {}
        labels = (vmi["metadata"].get("labels") or {}) | placed
        if status == vmi.get("status") and labels == (vmi["metadata"].get("labels") or {}):
            return vmi
        changed = {**vmi, "metadata": {**vmi["metadata"], "labels": labels}, "status": status}
        return await self._cluster.update(VIRTUAL_MACHINE_INSTANCE, changed)

    def _faults(self, vmi: Object) -> tuple[str, ...]:
        """Those that the VM's or the instance's annotation asks for."""
        namespace, name = key_of(vmi)
        vm = self._caches.machines.get(name, namespace)
        texts = [annotations_of(obj).get(FAULT, "") for obj in (vm, vmi) if obj is not None]
        return tuple(sorted({fault.strip() for text in texts for fault in text.split(",") if fault.strip()}))

    def _instances_of_claim(self, claim: Object) -> Iterable[Key]:
        namespace, name = key_of(claim)
        return [
            key_of(vmi)
            for vmi in self._caches.instances.list(namespace)
            if name in claim_names(vmi["spec"].get("volumes") or []).values()
            or labels_of(claim).get(STATE_LABEL) == vmi["metadata"]["name"]
            or any(item["claimName"] == name for item in vmi["spec"].get("utilityVolumes") or [])
        ]


def _unbound(claims: Iterable[Object | None]) -> list[Object]:
    return [claim for claim in claims if claim and (claim.get("status") or {}).get("phase") != "Bound"]


def _cpus(cpu: Object) -> int:
    return math.prod(int(cpu.get(field) or 1) for field in ("sockets", "cores", "threads"))


def _instance_of_pod(pod: Object) -> Iterable[Key]:
    name = (pod["metadata"].get("labels") or {}).get("vmi.kubevirt.io/id") or instance_of_attachment(pod)
    return [(pod["metadata"]["namespace"], name)] if name else []


def _volumes_of(vmi: Object) -> Object:
    kept = (vmi.get("status") or {}).get("volumeStatus")
    return {"volumeStatus": kept} if kept else {}
