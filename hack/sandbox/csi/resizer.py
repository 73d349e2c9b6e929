"""external-resizer: grows a bound volume to what its claim asks for."""

from __future__ import annotations

import asyncio
import copy

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.metadata import is_deleting, with_status
from sandbox.cluster.quantity import format_bytes, parse_quantity
from sandbox.csi.binding import requested_bytes
from sandbox.csi.caches import Caches
from sandbox.csi.driver import Driver, DriverError
from sandbox.csi.names import DRIVERS


class Resizer:
    """The volumes are plain files: a claim is done once the file has grown, there is no file system to stretch."""

    def __init__(self, cluster: Cluster, caches: Caches, driver: Driver) -> None:
        self._cluster = cluster
        self._caches = caches
        self._driver = driver
        self._controller = Controller(cluster, "resizer", backoff_seconds=1).watch(caches.claims)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._controller.run(self._reconcile)

    async def _reconcile(self, key: Key) -> None:
        claim = self._caches.claims.get(key[1], key[0])
        volume = self._caches.volumes.get(claim["spec"].get("volumeName") or "") if claim else None
        if claim is None or volume is None or not _must_grow(claim, volume):
            return
        name, component = volume["metadata"]["name"], f"external-resizer {volume['spec']['csi']['driver']}"
        await self._cluster.event(claim, "Normal", "Resizing", f"External resizer is resizing volume {name}", component)
        handle = volume["spec"]["csi"]["volumeHandle"]
        try:
            size_bytes = await asyncio.to_thread(self._driver.expand_volume, handle, requested_bytes(claim))
        except DriverError as error:
            await self._cluster.event(
                claim, "Warning", "VolumeResizeFailed", f"resize volume {name}: {error}", component
            )
            self._controller.queue.retry(key)
            return
        size = {"storage": format_bytes(size_bytes)}
        grown = copy.deepcopy(volume)
        grown["spec"]["capacity"] = size
        await self._cluster.update(PERSISTENT_VOLUME, grown)
        await self._cluster.update_status(PERSISTENT_VOLUME_CLAIM, with_status(claim, {"capacity": size}))
        await self._cluster.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded", component)


def _must_grow(claim: Object, volume: Object) -> bool:
    status = claim.get("status") or {}
    if status.get("phase") != "Bound" or is_deleting(claim) or not status.get("capacity"):
        return False
    ours = (volume["spec"].get("csi") or {}).get("driver") in DRIVERS
    return ours and requested_bytes(claim) > parse_quantity(status["capacity"]["storage"])
