"""A running guest: one QEMU process that cannot outlive the process that started it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from os import geteuid
from pathlib import Path

from sandbox.guest.accelerator import usable_accelerator
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import BINARY, Disk, Machine, Sockets, qemu_command
from sandbox.guest.control import run_in_guest
from sandbox.guest.errors import GuestError
from sandbox.guest.image import GuestImage
from sandbox.guest.monitor import Monitor
from sandbox.guest.quiesce import Quiesce
from sandbox.guest.slots import Slots

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 1.0


def qemu_installed() -> bool:
    """True if this machine can run guests at all."""
    return shutil.which(BINARY) is not None


def guest_sockets(state: Path, namespace: str, name: str) -> Sockets:
    """Where the guest of a VM is reached: a short path, since those of unix sockets hold 107 bytes."""
    digest = sha256(f"{state.resolve()}\0{namespace}/{name}".encode()).hexdigest()[:16]
    return Sockets(Path(tempfile.gettempdir()) / f"safehold-guests-{geteuid()}" / digest)


@dataclass(slots=True, eq=False)
class Guest:
    """A started guest. `quiesce` freezes and thaws it, `monitor` pauses it, `exec` runs a shell line in it."""

    machine: Machine
    sockets: Sockets
    process: asyncio.subprocess.Process
    monitor: Monitor
    quiesce: Quiesce
    slots: Slots

    @classmethod
    async def start(cls, machine: Machine, image: GuestImage, sockets: Sockets) -> Guest:
        """Starts QEMU and returns when its monitor answers, which is seconds before the guest's agent does."""
        shutil.rmtree(sockets.folder, ignore_errors=True)
        sockets.folder.mkdir(parents=True, mode=0o700)
        command = qemu_command(machine, image, sockets, usable_accelerator())
        with (sockets.folder / "qemu.log").open("wb") as log:
            # However this process ends, the kernel ends the guest with it: no QEMU is ever left behind.
            tied = ["setpriv", "--pdeathsig", "KILL", "--", *command]
            process = await asyncio.create_subprocess_exec(
                *tied, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            monitor = await _monitor_of(process, sockets)
        except BaseException:
            await _end(process)
            raise
        return cls(machine, sockets, process, monitor, Quiesce(sockets), Slots(monitor))

    @property
    def running(self) -> bool:
        """True until QEMU has ended."""
        return self.process.returncode is None

    async def wait(self) -> int:
        """Returns QEMU's exit status when it has ended: 0 after the guest powered off."""
        return await self.process.wait()

    @property
    def plugged(self) -> frozenset[str]:
        """The volumes that were plugged in since it was started."""
        return self.slots.volumes

    async def plug(self, disk: Disk) -> None:
        """Plugs a disk in; the guest formats a blank one, and writes to it."""
        await self.slots.plug(disk)
        await self.exec(f"plugged {disk.serial}")

    async def unplug(self, volume: str) -> None:
        """Plugs a disk out. Whoever is in the guest should have let go of it (`unplug`)."""
        await self.slots.unplug(volume)

    async def exec(self, command: str, seconds: float = 60.0) -> str:
        """Runs one line of shell in the guest."""
        return await run_in_guest(self.sockets.control, command, seconds)

    async def shut_down(self, grace_seconds: float) -> None:
        """Powers the guest off through its agent, and kills it after the grace period.

        Where no agent answers the control port stands for the power button. A guest that boots hears neither: it is
        asked again.
        """
        try:
            async with asyncio.timeout(grace_seconds):
                while not await self._heeds_power_off():  # noqa: ASYNC110 (the state is another process's)
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
                await self.process.wait()
        except TimeoutError:
            _log.info("guest %s did not power off within %g s and is killed", self.machine.name, grace_seconds)
        await self.kill()

    async def kill(self) -> None:
        """Ends QEMU at once, as a power failure would, and removes its sockets and logs."""
        await _end(self.process)
        await self.monitor.close()
        self.quiesce.close()
        shutil.rmtree(self.sockets.folder, ignore_errors=True)

    async def _heeds_power_off(self) -> bool:
        """Asks the guest to power off; True if it heard that, or has ended."""
        if not self.running:
            return True
        try:
            await self._power_off()
        except GuestError:
            return not self.running
        return True

    async def _power_off(self) -> None:
        try:
            await self.quiesce.thaw()
            async with self.quiesce.agent_lock, Agent.connect(self.sockets.agent) as agent:
                await agent.shut_down()
        except GuestError:
            await run_in_guest(self.sockets.control, "shutdown", seconds=5.0)


async def _monitor_of(process: asyncio.subprocess.Process, sockets: Sockets) -> Monitor:
    connecting = asyncio.ensure_future(Monitor.connect(sockets.monitor))
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if process.returncode is None:
        return await connecting
    connecting.cancel()
    said = (sockets.folder / "qemu.log").read_text(errors="replace").strip()[-400:]
    raise GuestError(f"QEMU ended at once with status {process.returncode}: {said}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
