"""Freezing and thawing the guest of a VMI so that its status shows it."""

from __future__ import annotations

from contextlib import suppress

from sandbox.cluster.client import Cluster
from sandbox.cluster.errors import NotFoundError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.machines.hypervisor import Hypervisor


class Quiescing:
    """Both verbs may be repeated, as KubeVirt's freeze and unfreeze may."""

    def __init__(self, cluster: Cluster, hypervisor: Hypervisor) -> None:
        self._cluster = cluster
        self._hypervisor = hypervisor

    def frozen(self, key: Key) -> bool:
        """True while the guest's file systems are frozen."""
        running = self._hypervisor.find(key)
        return running is not None and running.frozen

    async def freeze(self, key: Key, thaw_after_seconds: float) -> None:
        """Freezes the guest; an Event says so if it fails."""
        try:
            await self._hypervisor.freeze(key, thaw_after_seconds)
        except GuestError as error:
            await self._warn(key, "FreezeError", str(error))
            raise
        await self._show(key, "frozen")

    async def thaw(self, key: Key) -> None:
        """Thaws the guest."""
        await self._hypervisor.thaw(key)
        await self._show(key, None)

    async def _show(self, key: Key, status: str | None) -> None:
        with suppress(NotFoundError):
            body = {"status": {"fsFreezeStatus": status}}
            await self._cluster.patch(VIRTUAL_MACHINE_INSTANCE, key[1], body, key[0])

    async def _warn(self, key: Key, reason: str, message: str) -> None:
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, key[1], key[0])
        if vmi is not None:
            await self._cluster.event(vmi, "Warning", reason, message, "virt-handler")
