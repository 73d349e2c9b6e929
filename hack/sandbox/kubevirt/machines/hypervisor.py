"""All guests of one sandbox: starts, stops, freezes and watches them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.cluster.informer import Key
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import Machine
from sandbox.guest.disk_guest import DiskGuest
from sandbox.guest.errors import AgentSilentError, GuestError
from sandbox.guest.image import GuestImage
from sandbox.guest.machine import Guest, guest_sockets
from sandbox.guest.quiesce import Freeze, hold_limit

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.25
"""How often a guest's agent port is looked at."""


@dataclass(slots=True, eq=False)
class Running:
    """The guest of one VMI and what is known of it from outside."""

    uid: str
    guest: Guest | DiskGuest
    faults: tuple[str, ...]
    agent_connected: bool = False
    paused: bool = False
    os_info: dict[str, Any] = field(default_factory=dict)
    exit_status: int | None = None
    stopping: asyncio.Task[None] | None = None

    @property
    def frozen(self) -> bool:
        """True while its file systems are frozen."""
        return isinstance(self.guest, Guest) and self.guest.quiesce.frozen

    @property
    def started_with(self) -> frozenset[str]:
        """The volumes whose disks it has had since its start."""
        return frozenset(disk.volume for disk in self.guest.machine.disks)

    @property
    def tracks_blocks(self) -> bool:
        """True if QEMU can keep bitmaps of what changes: a guest that is only its disks cannot."""
        return isinstance(self.guest, Guest)


class Hypervisor:
    """Guests by the (namespace, name) of their VMI. `on_change` hears of every change of one.

    Without an image all guests are only disks. Every freeze that ends is a line in `state`/freezes.jsonl.
    """

    def __init__(self, state: Path, image: GuestImage | None) -> None:
        self.on_change: Callable[[Key], None] = lambda _: None
        self._state = state
        self._image = image
        self._running: dict[Key, Running] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    @property
    def boots(self) -> bool:
        """True if guests are machines that boot, and not only disks."""
        return self._image is not None

    def find(self, key: Key, uid: str | None = None) -> Running | None:
        """The guest of that name, if it belongs to the VMI with that uid."""
        running = self._running.get(key)
        return running if running and uid in (None, running.uid) else None

    def guest(self, key: Key) -> Guest:
        """The running guest of that name; GuestError if there is none, or only its disks."""
        running = self._running.get(key)
        if running is None or not running.guest.running:
            raise GuestError("VMI is not running")
        if not isinstance(running.guest, Guest):
            raise GuestError("this guest is only its disks: the sandbox runs without QEMU")
        return running.guest

    async def start(self, key: Key, uid: str, machine: Machine) -> Running:
        """Boots the guest of a VMI; returns before it is up."""
        running = Running(uid, await self._boot(key, machine), machine.faults)
        self._running[key] = running
        self._watch(self._watch_end(key, running))
        if isinstance(running.guest, Guest):
            running.guest.quiesce.on_thaw = lambda freeze: self._thawed(key, freeze)
            running.guest.quiesce.hold_limit_seconds = hold_limit(machine.faults)
            self._watch(self._watch_agent(key, running, running.guest))
        return running

    def stop(self, key: Key, grace_seconds: float) -> None:
        """Begins to shut a guest down; `on_change` tells when it has ended."""
        running = self._running.get(key)
        if running and running.stopping is None:
            running.stopping = asyncio.create_task(running.guest.shut_down(grace_seconds))

    def forget(self, key: Key) -> None:
        """Drops a guest that has ended."""
        self._running.pop(key, None)

    async def close(self) -> None:
        """Kills all guests."""
        for running in self._running.values():
            if running.stopping:
                running.stopping.cancel()
                with suppress(asyncio.CancelledError):
                    await running.stopping
            await running.guest.kill()
        for task in self._watchers:
            task.cancel()

    async def freeze(self, key: Key, thaw_after_seconds: float) -> None:
        """Freezes a guest's file systems; GuestError in libvirt's words if the agent fails."""
        guest = self.guest(key)
        with _in_libvirts_words("guest-fsfreeze-freeze"):
            await guest.quiesce.freeze(thaw_after_seconds)

    async def thaw(self, key: Key) -> None:
        """Thaws a guest's file systems; a guest that has ended needs none. GuestError as of a freeze."""
        running = self._running.get(key)
        if running and isinstance(running.guest, Guest):
            try:
                with _in_libvirts_words("guest-fsfreeze-thaw"):
                    await running.guest.quiesce.thaw()
            finally:
                self.on_change(key)

    async def pause(self, key: Key) -> None:
        """Stops a guest's CPUs."""
        await self.guest(key).monitor.pause()
        self._running[key].paused = True
        self.on_change(key)

    async def resume(self, key: Key) -> None:
        """Lets a guest's CPUs run again."""
        await self.guest(key).monitor.resume()
        self._running[key].paused = False
        self.on_change(key)

    async def set_faults(self, key: Key, faults: tuple[str, ...]) -> None:
        """Makes exactly these faults happen in the guest from now on."""
        running = self._running.get(key)
        if running is None or running.faults == faults or not isinstance(running.guest, Guest):
            return
        running.faults = faults
        for fault in ("none", *faults):
            await running.guest.exec(f"fault {fault}")
        running.guest.quiesce.hold_limit_seconds = hold_limit(faults)
        _log.info("faults of %s/%s are now: %s", *key, ", ".join(faults) or "none")

    async def file_systems(self, key: Key) -> list[dict[str, Any]]:
        """As the agent answers guest-get-fsinfo."""
        guest = self.guest(key)
        async with guest.quiesce.agent_lock, Agent.connect(guest.sockets.agent) as agent:
            return await agent.file_systems()

    async def _boot(self, key: Key, machine: Machine) -> Guest | DiskGuest:
        if self._image is None:
            return await DiskGuest.start(machine)
        return await Guest.start(machine, self._image, guest_sockets(self._state, *key))

    def _watch(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _watch_end(self, key: Key, running: Running) -> None:
        running.exit_status = await running.guest.wait()
        running.agent_connected = False
        self.on_change(key)

    async def _watch_agent(self, key: Key, running: Running, guest: Guest) -> None:
        while guest.running:
            try:
                connected = await guest.monitor.agent_port_open()
                if connected and not running.os_info:
                    running.os_info = await _os_info(guest)
            except GuestError as error:
                # An agent that starts, hangs or ends just now: the next look tells.
                _log.debug("agent of %s/%s: %s", *key, error)
                connected = running.agent_connected
            if connected != running.agent_connected:
                running.agent_connected = connected
                self.on_change(key)
            await asyncio.sleep(_POLL_SECONDS)

    def _thawed(self, key: Key, freeze: Freeze) -> None:
        record = {
            "namespace": key[0],
            "vm": key[1],
            "frozen": freeze.frozen.isoformat(),
            "thawed": freeze.thawed.isoformat(),
            "millis": freeze.millis,
            "counters": freeze.counters,
        }
        with (self._state / "freezes.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        self.on_change(key)


@contextmanager
def _in_libvirts_words(command: str) -> Iterator[None]:
    try:
        yield
    except AgentSilentError as error:
        raise GuestError("Guest agent is not responding: " + str(error)) from error
    except GuestError as error:
        raise GuestError(f"internal error: unable to execute QEMU agent command '{command}': {error}") from error


async def _os_info(guest: Guest) -> dict[str, Any]:
    async with guest.quiesce.agent_lock, Agent.connect(guest.sockets.agent) as agent:
        info = await agent.os_info()
        return info | {"agent-version": await agent.version(), "hostname": await agent.host_name()}
