"""The PCIe slots of a running guest into which disks are plugged, over QMP."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.guest.commandline import SLOTS, Disk
from sandbox.guest.errors import GuestError
from sandbox.guest.monitor import Monitor

_EJECT_SECONDS = 20.0
"""How long the guest may take to let go of a disk."""
_POLL_SECONDS = 0.05


class Slots:
    """One disk each. QEMU's names of what is plugged are those of the slot: `disk-SLOT` and `file-SLOT`."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._taken: dict[str, str] = {}

    @property
    def volumes(self) -> frozenset[str]:
        """The volumes whose disks are plugged."""
        return frozenset(self._taken)

    async def plug(self, disk: Disk) -> None:
        """Plugs a disk in; GuestError if no slot is free, or in QEMU's words."""
        free = [slot for slot in SLOTS if slot not in self._taken.values()]
        if not free:
            raise GuestError(f"no slot is free for {disk.volume}: {', '.join(self._taken)} are plugged")
        slot = free[0]
        driver = "host_device" if disk.path.is_block_device() else "file"
        file: dict[str, Any] = {"node-name": f"file-{slot}", "driver": driver, "filename": str(disk.path)}
        await self._monitor.execute("blockdev-add", file | {"discard": "unmap"})
        node: dict[str, Any] = {"node-name": f"disk-{slot}", "driver": "raw", "file": f"file-{slot}"}
        await self._monitor.execute("blockdev-add", node | {"discard": "unmap"})
        device: dict[str, Any] = {"driver": "virtio-blk-pci", "id": slot_device(slot), "bus": slot}
        await self._monitor.execute("device_add", device | {"drive": f"disk-{slot}", "serial": disk.serial})
        self._taken[disk.volume] = slot

    async def unplug(self, volume: str) -> None:
        """Plugs a disk out; GuestError if the guest does not let go of it."""
        slot = self._taken[volume]
        await self._monitor.execute("device_del", {"id": slot_device(slot)})
        try:
            async with asyncio.timeout(_EJECT_SECONDS):
                while await self._is_there(slot_device(slot)):  # noqa: ASYNC110 (QEMU's event may be gone already)
                    await asyncio.sleep(_POLL_SECONDS)
                for node in (f"disk-{slot}", f"file-{slot}"):
                    await self._release(node)
        except TimeoutError as error:
            raise GuestError(f"the guest did not let go of {volume} within {_EJECT_SECONDS:g} s") from error
        del self._taken[volume]

    async def _release(self, node: str) -> None:
        """Takes a node away. The device that used it is gone by name a moment before it lets go of it."""
        while True:
            try:
                await self._monitor.execute("blockdev-del", {"node-name": node})
            except GuestError as error:
                if not str(error).endswith("is in use"):
                    raise
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    async def _is_there(self, device: str) -> bool:
        devices = await self._monitor.execute("qom-list", {"path": "/machine/peripheral"})
        return any(found["name"] == device for found in devices)


def slot_device(slot: str) -> str:
    """QEMU's id of the device in a slot."""
    return f"device-{slot}"
