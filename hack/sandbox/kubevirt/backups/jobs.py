"""The backup jobs of all guests: what virt-handler and virt-launcher do for the backup controller."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, Objects, timestamp
from sandbox.cluster.errors import NotFoundError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE
from sandbox.guest.disk_backup import DiskBackup, Point, has_checkpoint
from sandbox.guest.errors import GuestError
from sandbox.guest.machine import Guest
from sandbox.kubevirt.machines.hypervisor import Hypervisor
from sandbox.kubevirt.quiescing import Quiescing

_THAW_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A backup to make of the guest `machine`. `folder` is that of the target claim, of `capacity_bytes`."""

    machine: Key
    backup: str
    checkpoint: str
    base: str | None
    push: bool
    quiesce: bool
    folder: Path
    capacity_bytes: int
    bytes_per_second: int


@dataclass(slots=True)
class _Job:
    order: Order
    disks: DiskBackup
    aborted: bool = False
    waiting: asyncio.Task[None] | None = field(default=None)


class BackupJobs:
    """One job per guest. Each shows its state in the instance's status.changedBlockTracking.backupStatus."""

    def __init__(self, cluster: Cluster, hypervisor: Hypervisor, quiescing: Quiescing) -> None:
        self._cluster = cluster
        self._hypervisor = hypervisor
        self._quiescing = quiescing
        self._jobs: dict[Key, _Job] = {}

    def pulled(self, backup: Key) -> DiskBackup | None:
        """The point in time that a backup in pull mode offers, None before and after."""
        for machine, job in self._jobs.items():
            if (machine[0], job.order.backup) == backup and not job.order.push and not job.aborted:
                return job.disks
        return None

    async def has_checkpoint(self, machine: Key, name: str) -> bool:
        """True if the running guest knows the checkpoint; one that was started since then does not."""
        guest = self._hypervisor.guest(machine)
        return await has_checkpoint(guest.monitor, guest.machine.disks, name)

    async def start(self, order: Order) -> None:
        """Takes the point in time, frozen if the agent can; GuestError if QEMU cannot, with nothing left behind.

        As recorded of libvirt's refusals, every attempt freezes and thaws the guest anew.
        """
        await self.forget(order.machine)
        guest = self._hypervisor.guest(order.machine)
        job = _Job(order, DiskBackup(guest.machine, guest.sockets, guest.monitor, _point(order, guest)))
        try:
            await job.disks.prepare()
            frozen, problem = await self._freeze(order)
            try:
                await job.disks.take()
            finally:
                await self._quiescing.thaw(order.machine)
        except BaseException:
            await job.disks.end()
            for path in job.disks.point.files.values():
                path.unlink(missing_ok=True)
            raise
        self._jobs[order.machine] = job
        shown: Object = {"checkpointName": order.checkpoint, "quiesceStatus": frozen, "volumes": _volumes(guest)}
        if problem:
            shown["backupMsg"] = problem
        await self._show(order.machine, shown)
        if order.push:
            job.waiting = asyncio.create_task(self._push(job))

    async def abort(self, machine: Key) -> None:
        """Ends the guest's job: a push fails, a pull is complete. Does nothing where there is none."""
        job = self._jobs.get(machine)
        if job is None or job.aborted:
            return
        job.aborted = True
        with suppress(GuestError):
            await job.disks.end()
        if not job.order.push:
            await self._show(machine, {"completed": True, "endTimestamp": timestamp()})

    async def forget(self, machine: Key) -> None:
        """Takes away whatever is left of the guest's job."""
        job = self._jobs.pop(machine, None)
        if job is None:
            return
        if job.waiting:
            job.waiting.cancel()
        if not job.aborted:
            with suppress(GuestError):
                await job.disks.end()

    async def close(self) -> None:
        """Gives up all jobs; the guests end with this process."""
        for job in self._jobs.values():
            if job.waiting:
                job.waiting.cancel()

    async def _freeze(self, order: Order) -> tuple[str, str | None]:
        """How the freeze went, and a warning. A guest that cannot be frozen is backed up all the same."""
        if not order.quiesce:
            return "Skipped", None
        try:
            await self._quiescing.freeze(order.machine, _THAW_AFTER_SECONDS)
        except GuestError as error:
            return "Failed", f"failed to quiesce the guest: {error}"
        return "Succeeded", None

    async def _push(self, job: _Job) -> None:
        outcome: Object = {"completed": True}
        try:
            await job.disks.wait()
            await asyncio.to_thread(_check_space, job.order)
        except GuestError as error:
            outcome |= {"failed": True, "backupMsg": "backup aborted" if job.aborted else str(error)}
        with suppress(GuestError):
            await job.disks.end()
        await self._show(job.order.machine, outcome | {"endTimestamp": timestamp(datetime.now(UTC))})

    async def _show(self, machine: Key, shown: Object) -> None:
        body = {"status": {"changedBlockTracking": {"backupStatus": shown}}}
        with suppress(NotFoundError):
            await self._cluster.patch(VIRTUAL_MACHINE_INSTANCE, machine[1], body, machine[0])


def _point(order: Order, guest: Guest) -> Point:
    """Images lie where KubeVirt puts them: <vm>/<checkpoint>/<backup>-<volume>.qcow2 in the claim."""
    folder = order.folder / order.machine[1] / order.checkpoint
    return Point(
        checkpoint=order.checkpoint,
        base=order.base,
        push=order.push,
        files={disk.volume: folder / f"{order.backup}-{disk.volume}.qcow2" for disk in guest.machine.disks},
        bytes_per_second=order.bytes_per_second,
    )


def _volumes(guest: Guest) -> Objects:
    """DiskTarget is required by the schema of KubeVirt 1.9; later versions have dropped it."""
    return [
        {"volumeName": disk.volume, "diskTarget": f"vd{chr(ord('a') + index)}"}
        for index, disk in enumerate(guest.machine.disks)
    ]


def _check_space(order: Order) -> None:
    """Fails as a full file system would: the sandbox's folders have no end of their own."""
    used_bytes = sum(path.stat().st_blocks * 512 for path in order.folder.rglob("*") if path.is_file())
    if used_bytes > order.capacity_bytes:
        raise GuestError("Failed to write to target: No space left on device")
