"""Checkpoints and block backups of a running guest's disks, as libvirt makes them: bitmaps, push jobs, fleecing.

A checkpoint is a dirty bitmap on every disk that goes on recording; what changed since it is a frozen copy of that
bitmap, made in the same transaction as the new point in time. The disks are raw, so every bitmap ends with QEMU.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.guest.commandline import Disk, Machine, Sockets
from sandbox.guest.errors import GuestError
from sandbox.guest.monitor import Monitor

_GRANULARITY_BYTES = 65536
"""Of the bitmaps: libvirt's default."""
_DELTA = "delta"
"""Bitmap with what changed since the base checkpoint, while a backup runs."""
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point in time to take; with `base` only what changed since that checkpoint counts.

    `files` are the qcow2 images to make, by volume: the targets of a push, which are whole by themselves, or the
    scratch files of a pull. A push goes as fast as it can with a speed of 0.
    """

    checkpoint: str
    base: str | None
    push: bool
    files: dict[str, Path]
    bytes_per_second: int = 0


class DiskBackup:
    """One point in time of one guest: `prepare`, then `take` while it is frozen, `wait` (push), `end`."""

    def __init__(self, machine: Machine, sockets: Sockets, monitor: Monitor, point: Point) -> None:
        self.point = point
        self.socket = sockets.blocks
        self._monitor = monitor
        self._disks = list(enumerate(machine.disks))

    @property
    def delta_context(self) -> str | None:
        """The NBD meta context of the changed blocks; None for a full backup."""
        return f"qemu:dirty-bitmap:{_DELTA}" if self.point.base else None

    async def prepare(self) -> None:
        """Makes the images and adds them to QEMU, which takes its time and needs no frozen guest."""
        for index, disk in self._disks:
            path = self.point.files[disk.volume]
            path.parent.mkdir(parents=True, exist_ok=True)
            await _create_image(path, await self._size_bytes(index))
            node: dict[str, Any] = {"node-name": _target(index), "driver": "qcow2"}
            node["file"] = {"driver": "file", "filename": str(path)}
            # A fleece reads through to the disk; a pushed image stands by itself.
            node["backing"] = None if self.point.push else _volume(index)
            await self._monitor.execute("blockdev-add", node)

    async def take(self) -> None:
        """The point in time: checkpoint, frozen bitmaps and jobs of all disks in one transaction."""
        actions = [action for index, _ in self._disks for action in self._actions(index)]
        await self._monitor.execute("transaction", {"actions": actions})
        if not self.point.push:
            await self._serve()

    async def wait(self) -> None:
        """Returns when all jobs of a push have ended; GuestError with QEMU's words if one failed or was cancelled."""
        for index, _ in self._disks:
            job = await self._concluded(index)
            if job is None:
                raise GuestError("backup aborted")
            if job.get("error"):
                raise GuestError(str(job["error"]))

    async def end(self) -> None:
        """Takes everything away but the checkpoint and pushed images; ends what still runs. May be repeated.

        Exports go first: after its job an export would go on to answer, with the live disk under it.
        """
        if not self.point.push:
            await self._stop_serving()
        for index, disk in self._disks:
            await self._end_job(index)
            with suppress(GuestError):
                await self._monitor.execute("blockdev-del", {"node-name": _target(index)})
            if self.point.base:
                with suppress(GuestError):
                    await self._monitor.execute("block-dirty-bitmap-remove", {"node": _volume(index), "name": _DELTA})
            if not self.point.push:
                self.point.files[disk.volume].unlink(missing_ok=True)

    def _actions(self, index: int) -> list[dict[str, Any]]:
        volume = _volume(index)
        actions: list[dict[str, Any]] = []
        job: dict[str, Any] = {
            "job-id": _job(index),
            "device": volume,
            "target": _target(index),
            "auto-dismiss": False,
            "speed": self.point.bytes_per_second,
        }
        if self.point.base:
            empty = {"node": volume, "name": _DELTA, "granularity": _GRANULARITY_BYTES, "disabled": True}
            actions.append({"type": "block-dirty-bitmap-add", "data": empty})
            merged = {"node": volume, "target": _DELTA, "bitmaps": [self.point.base]}
            actions.append({"type": "block-dirty-bitmap-merge", "data": merged})
        checkpoint = {"node": volume, "name": self.point.checkpoint, "granularity": _GRANULARITY_BYTES}
        actions.append({"type": "block-dirty-bitmap-add", "data": checkpoint})
        if not self.point.push:
            job["sync"] = "none"
        elif self.point.base:
            job |= {"sync": "bitmap", "bitmap": _DELTA, "bitmap-mode": "never"}
        else:
            job["sync"] = "full"
        return [*actions, {"type": "blockdev-backup", "data": job}]

    async def _serve(self) -> None:
        address = {"type": "unix", "data": {"path": str(self.socket)}}
        await self._monitor.execute("nbd-server-start", {"addr": address})
        for index, disk in self._disks:
            export: dict[str, Any] = {"id": _export(index), "type": "nbd", "node-name": _target(index)}
            export |= {"name": disk.volume, "writable": False}
            if self.point.base:
                export["bitmaps"] = [{"node": _volume(index), "name": _DELTA}]
            await self._monitor.execute("block-export-add", export)

    async def _stop_serving(self) -> None:
        for index, _ in self._disks:
            with suppress(GuestError):
                await self._monitor.execute("block-export-del", {"id": _export(index), "mode": "hard"})
        while await self._monitor.execute("query-block-exports"):  # noqa: ASYNC110 (the state is QEMU's)
            await asyncio.sleep(_POLL_SECONDS)
        with suppress(GuestError):
            await self._monitor.execute("nbd-server-stop")

    async def _end_job(self, index: int) -> None:
        if await self._job(index) is None:
            return
        with suppress(GuestError):
            await self._monitor.execute("job-cancel", {"id": _job(index)})
        if await self._concluded(index) is not None:
            await self._monitor.execute("job-dismiss", {"id": _job(index)})

    async def _concluded(self, index: int) -> dict[str, Any] | None:
        """The job once it has ended; None if somebody dismissed it."""
        while (job := await self._job(index)) is not None and job["status"] != "concluded":  # noqa: ASYNC110 (QEMU's state)
            await asyncio.sleep(_POLL_SECONDS)
        return job

    async def _job(self, index: int) -> dict[str, Any] | None:
        jobs = await self._monitor.execute("query-jobs")
        return next((job for job in jobs if job["id"] == _job(index)), None)

    async def _size_bytes(self, index: int) -> int:
        nodes = await self._monitor.execute("query-named-block-nodes", {"flat": True})
        return next(int(node["image"]["virtual-size"]) for node in nodes if node["node-name"] == _volume(index))


async def has_checkpoint(monitor: Monitor, disks: tuple[Disk, ...], name: str) -> bool:
    """True if every disk has that checkpoint's bitmap, so that a backup may build on it."""
    nodes = await monitor.execute("query-named-block-nodes", {"flat": True})
    bitmaps = {
        node["node-name"]: {bitmap.get("name") for bitmap in node.get("dirty-bitmaps") or []}
        for node in nodes
        if node["node-name"]
    }
    return bool(disks) and all(name in bitmaps.get(_volume(index), set()) for index in range(len(disks)))


async def _create_image(path: Path, size_bytes: int) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(size_bytes)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise GuestError(f"no image {path.name} can be made: {said.decode(errors='replace').strip()}")


def _volume(index: int) -> str:
    return f"vol{index}"


def _target(index: int) -> str:
    return f"target{index}"


def _job(index: int) -> str:
    return f"backup{index}"


def _export(index: int) -> str:
    return f"export{index}"
