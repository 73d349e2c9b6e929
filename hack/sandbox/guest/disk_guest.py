"""A guest that is only its disks, for machines without QEMU: it has no agent, and writes once, onto blank disks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.guest.commandline import Disk, Machine

DATA_BYTES = 32 << 20
_BLOCK = 1 << 20


@dataclass(slots=True, eq=False)
class DiskGuest:
    """Stands where a Guest would: it counts as running until somebody ends it."""

    machine: Machine
    plugged: frozenset[str] = frozenset()
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def start(cls, machine: Machine) -> DiskGuest:
        """Fills the first 32 MiB of blank disks with data that follow from the volume's name."""
        for disk in machine.disks:
            await asyncio.to_thread(_fill_if_blank, disk.path, disk.volume)
        return cls(machine)

    @property
    def running(self) -> bool:
        """True until it was shut down or killed."""
        return not self._ended.is_set()

    async def plug(self, disk: Disk) -> None:
        """Takes a disk, and fills a blank one as at the start."""
        await asyncio.to_thread(_fill_if_blank, disk.path, disk.volume)
        self.plugged |= {disk.volume}

    async def unplug(self, volume: str) -> None:
        """Lets a disk go."""
        self.plugged -= {volume}

    async def wait(self) -> int:
        """Returns 0 when it has ended."""
        await self._ended.wait()
        return 0

    async def shut_down(self, grace_seconds: float) -> None:  # noqa: ARG002 (a Guest needs it)
        """Ends it; there is nobody inside to ask."""
        self._ended.set()

    async def kill(self) -> None:
        """Ends it."""
        self._ended.set()


def _fill_if_blank(path: Path, volume: str) -> None:
    with path.open("r+b") as stream:
        if any(stream.read(_BLOCK)):
            return
        size_bytes = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        # A device would not grow; the file behind one would.
        for number in range(min(DATA_BYTES, size_bytes) // _BLOCK):
            stream.write(hashlib.shake_128(f"{volume}\0{number}".encode()).digest(_BLOCK))
        stream.flush()
        os.fsync(stream.fileno())
