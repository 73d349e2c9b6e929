"""The PV controller of kube-controller-manager: binds claims and volumes as `binding` decides."""

from __future__ import annotations

import asyncio
import copy

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.metadata import annotations_of, is_deleting, with_annotations, with_status
from sandbox.csi.binding import (
    Bind,
    Lose,
    Notice,
    Provision,
    Wait,
    bound_by_controller,
    claim_reference,
    claim_step,
    refers_to,
    volume_step,
)
from sandbox.csi.caches import Caches
from sandbox.csi.names import BIND_COMPLETED, BOUND_BY_CONTROLLER, STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA

RESYNC_SECONDS = 15.0
"""kube-controller-manager's --pvclaimbinder-sync-period: how late a claim notices that its volume was re-pointed."""

_COMPONENT = "persistentvolume-controller"


class Binder:
    """Two queues, one of claims and one of volumes, as in the original: a change of one does not wake the other."""

    def __init__(self, cluster: Cluster, caches: Caches, resync_seconds: float = RESYNC_SECONDS) -> None:
        self._cluster = cluster
        self._caches = caches
        self._resync_seconds = resync_seconds
        self._claims = Controller(cluster, "claim-binder").watch(caches.claims)
        self._volumes = Controller(cluster, "volume-binder").watch(caches.volumes)
        # A claim that vanishes releases its volume at once.
        self._volumes.watch(caches.claims, self._volume_of_gone_claim)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claims.run(self._reconcile_claim))
            tasks.create_task(self._volumes.run(self._reconcile_volume))
            tasks.create_task(self._resync())

    def _volume_of_gone_claim(self, claim: Object) -> list[Key]:
        name = claim["spec"].get("volumeName")
        gone = self._caches.claims.get(claim["metadata"]["name"], claim["metadata"]["namespace"]) is None
        return [("", name)] if name and gone else []

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._resync_seconds)
            for volume in self._caches.volumes.list():
                self._volumes.queue.add(key_of(volume))
            for claim in self._caches.claims.list():
                self._claims.queue.add(key_of(claim))

    async def _reconcile_claim(self, key: Key) -> None:
        claim = self._caches.claims.get(key[1], key[0])
        if claim is None:
            return
        if claim["spec"].get("storageClassName") is None and (default := self._caches.default_class()):
            claim = copy.deepcopy(claim)
            claim["spec"]["storageClassName"] = default["metadata"]["name"]
            claim = await self._cluster.update(PERSISTENT_VOLUME_CLAIM, claim)
        volumes = self._caches.volumes
        step = claim_step(claim, volumes.list(), self._caches.class_of(claim), volumes.get)
        match step:
            case Bind(volume):
                await self._bind(volume, claim)
            case Provision(provisioner):
                await self._request_provisioning(claim, provisioner)
            case Lose(notice):
                await self._set_claim_phase(claim, "Lost", notice)
            case Wait(notice):
                await self._set_claim_phase(claim, "Pending")
                await self._notify(claim, notice)

    async def _reconcile_volume(self, key: Key) -> None:
        volume = self._caches.volumes.get(key[1])
        if volume is None:
            return
        reference = volume["spec"].get("claimRef") or {}
        claim = self._caches.claims.get(reference.get("name", ""), reference.get("namespace", ""))
        if claim is None or claim["metadata"]["uid"] != reference.get("uid"):
            # The cache may lag behind; a volume is not given up on hearsay.
            claim = await self._claim_now(reference)
        step = volume_step(volume, claim)
        if step == "available":
            await self._set_volume_phase(volume, "Available")
        elif step == "bound":
            await self._set_volume_phase(volume, "Bound")
        elif step == "released":
            if (volume.get("status") or {}).get("phase") not in ("Released", "Failed"):
                await self._set_volume_phase(volume, "Released")
        elif step == "unbind":
            await self._unbind(volume)
        elif claim is not None and step == "ask-claim":
            self._claims.queue.add(key_of(claim))
        elif claim is not None:
            message = "Cannot bind PersistentVolume to requested PersistentVolumeClaim due to incompatible volumeMode."
            await self._notify(claim, Notice("Warning", "VolumeMismatch", message))

    async def _claim_now(self, reference: Object) -> Object | None:
        if not reference.get("uid"):
            return None
        return await self._cluster.get(PERSISTENT_VOLUME_CLAIM, reference["name"], reference["namespace"])

    async def _bind(self, volume: Object, claim: Object) -> None:
        """The four writes of a binding, each left out if it is done: volume, its phase, claim, its phase."""
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") != claim["metadata"]["uid"]:
            bound = volume if refers_to(volume, claim) else with_annotations(volume, {BOUND_BY_CONTROLLER: "yes"})
            bound = copy.deepcopy(bound)
            bound["spec"]["claimRef"] = claim_reference(claim)
            volume = await self._cluster.update(PERSISTENT_VOLUME, bound)
        volume = await self._set_volume_phase(volume, "Bound")
        name = volume["metadata"]["name"]
        if claim["spec"].get("volumeName") != name or BIND_COMPLETED not in annotations_of(claim):
            marks: dict[str, str | None] = {BIND_COMPLETED: "yes"}
            if claim["spec"].get("volumeName") != name:
                marks[BOUND_BY_CONTROLLER] = "yes"
            bound = with_annotations(claim, marks)
            bound["spec"]["volumeName"] = name
            claim = await self._cluster.update(PERSISTENT_VOLUME_CLAIM, bound)
        await self._set_bound(claim, volume)

    async def _set_bound(self, claim: Object, volume: Object) -> None:
        status = claim.get("status") or {}
        changes: Object = {"phase": "Bound", "accessModes": volume["spec"].get("accessModes")}
        if status.get("phase") != "Bound" or not status.get("capacity"):
            # Later changes of the size are the resizer's to report.
            changes["capacity"] = dict(volume["spec"]["capacity"])
        changed = with_status(claim, changes)
        if changed["status"] != status:
            await self._cluster.update_status(PERSISTENT_VOLUME_CLAIM, changed)

    async def _request_provisioning(self, claim: Object, provisioner: str) -> None:
        marks: dict[str, str | None] = {STORAGE_PROVISIONER: provisioner, STORAGE_PROVISIONER_BETA: provisioner}
        if any(annotations_of(claim).get(name) != value for name, value in marks.items()):
            claim = await self._cluster.update(PERSISTENT_VOLUME_CLAIM, with_annotations(claim, marks))
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        await self._notify(claim, Notice("Normal", "ExternalProvisioning", message))

    async def _set_claim_phase(self, claim: Object, phase: str, notice: Notice | None = None) -> None:
        if (claim.get("status") or {}).get("phase") == phase:
            return
        changes: Object = {"phase": phase, "capacity": None, "accessModes": None}
        changed = await self._cluster.update_status(PERSISTENT_VOLUME_CLAIM, with_status(claim, changes))
        await self._notify(changed, notice)

    async def _set_volume_phase(self, volume: Object, phase: str) -> Object:
        if (volume.get("status") or {}).get("phase") == phase:
            return volume
        changes = {"phase": phase, "lastPhaseTransitionTime": timestamp()}
        return await self._cluster.update_status(PERSISTENT_VOLUME, with_status(volume, changes))

    async def _unbind(self, volume: Object) -> None:
        unbound = with_annotations(volume, {BOUND_BY_CONTROLLER: None})
        if bound_by_controller(volume):
            del unbound["spec"]["claimRef"]
        else:
            del unbound["spec"]["claimRef"]["uid"]
        await self._set_volume_phase(await self._cluster.update(PERSISTENT_VOLUME, unbound), "Available")

    async def _notify(self, claim: Object, notice: Notice | None) -> None:
        if notice and not is_deleting(claim):
            await self._cluster.event(claim, notice.event_type, notice.reason, notice.message, _COMPONENT)
