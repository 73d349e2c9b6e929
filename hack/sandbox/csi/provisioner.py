"""external-provisioner: makes volumes for claims, deletes released volumes, keeps its finalizers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller, TryAgainError
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import PERSISTENT_VOLUME, VOLUME_SNAPSHOT
from sandbox.cluster.metadata import annotations_of, finalizers_of, is_deleting, with_finalizers
from sandbox.cluster.quantity import format_bytes
from sandbox.csi.binding import claim_reference, reclaim_policy, requested_bytes, volume_mode, waits_for_consumer
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver, DriverError, Volume
from sandbox.csi.names import (
    DRIVERS,
    NO_DELETION_SECRET,
    PROVISIONED_BY,
    PROVISIONER_FINALIZER,
    PROVISIONER_SNAPSHOT_PROTECTION,
    PV_PROTECTION,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
)
from sandbox.csi.sources import FromSnapshot, FromVolume, Populated, Source, SourceError, source_of

SWEEP_SECONDS = 300.0
"""external-provisioner's --snapshot-orphan-sweep-interval."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A volume to make: for which claim, of which class, from what."""

    claim: Object
    storage_class: Object
    source: Source

    @property
    def driver(self) -> str:
        return str(self.storage_class["provisioner"])

    @property
    def name(self) -> str:
        return f"pvc-{self.claim['metadata']['uid']}"


class Provisioner:
    """Serves both of the sandbox's drivers, which differ only in whether they can snapshot."""

    def __init__(self, cluster: Cluster, caches: Caches, driver: Driver, sweep_seconds: float = SWEEP_SECONDS) -> None:
        self._cluster = cluster
        self._caches = caches
        self._driver = driver
        self._sweep_seconds = sweep_seconds
        # The original waits 1, 2, 4 … 300 s between attempts.
        self._claims = Controller(cluster, "provisioner", workers=4, backoff_seconds=1, max_backoff_seconds=300)
        self._claims.watch(caches.claims).watch(caches.classes, self._claims_of_class)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claims.run(self._reconcile_claim))
            volumes = Controller(self._cluster, "volume-deleter").watch(self._caches.volumes)
            tasks.create_task(volumes.run(self._reconcile_volume))
            tasks.create_task(self._sweep())

    def _claims_of_class(self, storage_class: Object) -> list[Key]:
        name = storage_class["metadata"]["name"]
        claims = self._caches.claims.list()
        return [
            (claim["metadata"]["namespace"], claim["metadata"]["name"])
            for claim in claims
            if claim["spec"].get("storageClassName") == name and not claim["spec"].get("volumeName")
        ]

    async def _reconcile_claim(self, key: Key) -> None:
        claim = self._caches.claims.get(key[1], key[0])
        storage_class = self._caches.class_of(claim) if claim else None
        if claim is None or storage_class is None or not _wants_volume(claim, storage_class):
            return
        driver = storage_class["provisioner"]
        try:
            wanted = _Wanted(claim, storage_class, source_of(claim, self._caches, driver))
            await self._provision(wanted)
        except (SourceError, DriverError) as error:
            prefix = f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": '
            message = f"{prefix if isinstance(error, DriverError) else ''}{error}"
            await self._cluster.event(claim, "Warning", "ProvisioningFailed", message, driver)
            raise TryAgainError(message) from error

    async def _provision(self, wanted: _Wanted) -> None:
        claim = wanted.claim
        if isinstance(wanted.source, Populated):
            message = "Assuming an external populator will provision the volume"
            await self._cluster.event(claim, "Normal", "Provisioning", message, "external-provisioner")
            return
        where = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
        message = f'External provisioner is provisioning volume for claim "{where}"'
        await self._cluster.event(claim, "Normal", "Provisioning", message, wanted.driver)
        volume = await self._create_volume(wanted)
        try:
            await self._cluster.create(PERSISTENT_VOLUME, _persistent_volume(wanted, volume))
        except AlreadyExistsError:
            return
        message = f"Successfully provisioned volume {wanted.name}"
        await self._cluster.event(claim, "Normal", "ProvisioningSucceeded", message, wanted.driver)

    async def _create_volume(self, wanted: _Wanted) -> Volume:
        source = wanted.source
        if isinstance(source, FromSnapshot):
            await self._hold_snapshot(source.snapshot, hold=True)
        volume = await asyncio.to_thread(
            self._driver.create_volume,
            wanted.name,
            requested_bytes(wanted.claim),
            "Block" if volume_mode(wanted.claim) == "Block" else "Filesystem",
            snapshot_handle=source.handle if isinstance(source, FromSnapshot) else None,
            volume_handle=source.handle if isinstance(source, FromVolume) else None,
        )
        if isinstance(source, FromSnapshot):
            # After a failure the finalizer stays until the sweep, as with the original.
            await self._hold_snapshot(source.snapshot, hold=False)
        return volume

    async def _hold_snapshot(self, snapshot: Object, *, hold: bool) -> None:
        metadata = snapshot["metadata"]
        present = await self._cluster.get(VOLUME_SNAPSHOT, metadata["name"], metadata["namespace"])
        if present is None or (PROVISIONER_SNAPSHOT_PROTECTION in finalizers_of(present)) == hold:
            return
        mark = [PROVISIONER_SNAPSHOT_PROTECTION]
        changed = with_finalizers(present, add=mark) if hold else with_finalizers(present, remove=mark)
        await self._cluster.update(VOLUME_SNAPSHOT, changed)

    async def _reconcile_volume(self, key: Key) -> None:
        volume = self._caches.volumes.get(key[1])
        if volume is None or annotations_of(volume).get(PROVISIONED_BY) not in DRIVERS:
            return
        policy = reclaim_policy(volume)
        held = PROVISIONER_FINALIZER in finalizers_of(volume)
        released = (volume.get("status") or {}).get("phase") == "Released"
        if policy == "Delete" and released:
            await asyncio.to_thread(self._driver.delete_volume, volume["spec"]["csi"]["volumeHandle"])
            await self._cluster.delete(PERSISTENT_VOLUME, key[1], uid=volume["metadata"]["uid"])
            if held:
                await self._drop_finalizer(key[1])
        elif policy != "Delete" and held:
            await self._cluster.update(PERSISTENT_VOLUME, with_finalizers(volume, remove=[PROVISIONER_FINALIZER]))
        elif policy == "Delete" and not held and not is_deleting(volume):
            await self._cluster.update(PERSISTENT_VOLUME, with_finalizers(volume, add=[PROVISIONER_FINALIZER]))

    async def _drop_finalizer(self, name: str) -> None:
        volume = await self._cluster.get(PERSISTENT_VOLUME, name)
        if volume is not None:
            await self._cluster.update(PERSISTENT_VOLUME, with_finalizers(volume, remove=[PROVISIONER_FINALIZER]))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_seconds)
            for snapshot in self._caches.snapshots.list():
                if PROVISIONER_SNAPSHOT_PROTECTION in finalizers_of(snapshot) and not self._restoring(snapshot):
                    await self._hold_snapshot(snapshot, hold=False)

    def _restoring(self, snapshot: Object) -> bool:
        claims = self._caches.claims.list(snapshot["metadata"]["namespace"])
        return any(restores_from(claim, snapshot["metadata"]["name"]) for claim in claims)


def restores_from(claim: Object, snapshot_name: str) -> bool:
    """True if the claim is still waiting for a volume from this VolumeSnapshot of its namespace."""
    source = claim["spec"].get("dataSource") or claim["spec"].get("dataSourceRef") or {}
    pending = (claim.get("status") or {}).get("phase", "Pending") == "Pending"
    return pending and source.get("kind") == "VolumeSnapshot" and source.get("name") == snapshot_name


def _wants_volume(claim: Object, storage_class: Object) -> bool:
    if claim["spec"].get("volumeName") or is_deleting(claim):
        return False
    marks = annotations_of(claim)
    chosen = not waits_for_consumer(storage_class) or SELECTED_NODE in marks
    return chosen and storage_class["provisioner"] in DRIVERS and marks.get(STORAGE_PROVISIONER) in DRIVERS


def _persistent_volume(wanted: _Wanted, volume: Volume) -> Object:
    policy = wanted.storage_class.get("reclaimPolicy") or "Delete"
    metadata = wanted.claim["metadata"]
    return {
        "metadata": {
            "name": wanted.name,
            "annotations": {PROVISIONED_BY: wanted.driver, **NO_DELETION_SECRET},
            "finalizers": [*([PROVISIONER_FINALIZER] if policy == "Delete" else []), PV_PROTECTION],
        },
        "spec": {
            "accessModes": wanted.claim["spec"].get("accessModes"),
            "capacity": {"storage": format_bytes(volume.size_bytes)},
            "claimRef": claim_reference(wanted.claim),
            "csi": {
                "driver": wanted.driver,
                "volumeHandle": volume.handle,
                "volumeAttributes": {
                    "csi.storage.k8s.io/pv/name": wanted.name,
                    "csi.storage.k8s.io/pvc/name": metadata["name"],
                    "csi.storage.k8s.io/pvc/namespace": metadata["namespace"],
                },
            },
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": wanted.storage_class["metadata"]["name"],
            "volumeMode": volume.mode,
        },
    }
