"""Disks that are plugged into a real guest and out of it, and freezes that the guest ends by itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.guest.acknowledged import acknowledged_counters
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import SLOTS, Disk, Machine
from sandbox.guest.errors import GuestError
from sandbox.guest.image import default_cache, guest_image
from sandbox.guest.machine import Guest, guest_sockets, qemu_installed
from sandbox.guest.quiesce import LIMIT_MESSAGE, Freeze

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root"),
]
_BOOT_SECONDS = 90.0


def _disk(folder: Path, volume: str) -> Disk:
    path = folder / f"{volume}.raw"
    path.touch()
    os.truncate(path, 1 << 30)
    return Disk(volume=volume, path=path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the disks lie."""
    return tmp_path_factory.mktemp("disks")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(folder: Path) -> AsyncIterator[Guest]:
    """A guest that was started with one disk."""
    machine = Machine(name="plug", disks=(_disk(folder, "root"),))
    guest = await Guest.start(machine, guest_image(default_cache()), guest_sockets(folder, "tests", "plug"))
    async with guest.quiesce.agent_lock, Agent.connect(guest.sockets.agent, _BOOT_SECONDS):
        pass
    yield guest
    await guest.shut_down(10.0)


async def _writes(guest: Guest, *volumes: str) -> None:
    """Wait until the ledgers of these volumes have acknowledged another commit."""
    before = acknowledged_counters(guest.sockets.acknowledged)
    async with asyncio.timeout(180):
        while True:
            now = acknowledged_counters(guest.sockets.acknowledged)
            if all(now.get(volume, 0) > before.get(volume, 0) for volume in volumes):
                return
            await asyncio.sleep(0.05)


async def _counts_no_more(guest: Guest, volume: str) -> None:
    async with asyncio.timeout(180):
        while volume in acknowledged_counters(guest.sockets.acknowledged):  # noqa: ASYNC110 (a file of QEMU's)
            await asyncio.sleep(0.05)


async def test_a_disk_is_plugged_in_written_frozen_and_plugged_out(guest: Guest, folder: Path) -> None:
    """The guest formats it and counts on it, a freeze holds it like the others, and it can come and go again."""
    for _ in range(2):
        await guest.plug(_disk(folder, "extra"))
        assert guest.plugged == {"extra"}
        await _writes(guest, "root", "extra")
        ended: list[Freeze] = []
        guest.quiesce.on_thaw = ended.append
        await guest.quiesce.freeze(0)
        await guest.quiesce.thaw()
        assert ended[0].counters.keys() == {"root", "extra"}
        await guest.exec("unplug extra")
        await guest.unplug("extra")
        assert guest.plugged == frozenset()
        await _counts_no_more(guest, "extra")
    await _writes(guest, "root")


async def test_a_guest_has_as_many_slots_as_it_was_started_with(guest: Guest, folder: Path) -> None:
    """One more is refused by name, and harms nothing."""
    names = [f"more{number}" for number, _ in enumerate(SLOTS)]
    for name in names:
        await guest.plug(_disk(folder, name))
    with pytest.raises(GuestError, match="no slot is free for late"):
        await guest.plug(_disk(folder, "late"))
    for name in names:
        await guest.exec(f"unplug {name}")
        await guest.unplug(name)
    await _writes(guest, "root")


async def test_a_freeze_beyond_its_limit_ends_and_the_thaw_says_so_once(guest: Guest) -> None:
    """The guest writes again before anybody thawed it; the record tells when it did."""
    ended: list[Freeze] = []
    guest.quiesce.on_thaw, guest.quiesce.hold_limit_seconds = ended.append, 0.3
    await guest.quiesce.freeze(0)
    await _writes(guest, "root")
    assert guest.quiesce.frozen
    with pytest.raises(GuestError, match=LIMIT_MESSAGE):
        await guest.quiesce.thaw()
    assert not guest.quiesce.frozen
    await guest.quiesce.thaw()
    assert len(ended) == 1
    guest.quiesce.hold_limit_seconds = 60.0
    await guest.quiesce.freeze(0)
    await guest.quiesce.thaw()
    assert len(ended) == 2
    guest.quiesce.hold_limit_seconds = None
