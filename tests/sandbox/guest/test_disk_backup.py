"""Checkpoints, pushed images and pulled extents of a guest that writes all the time, held against frozen copies."""

import asyncio
import filecmp
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.csi.sparse import copy_file
from sandbox.guest.acknowledged import acknowledged_counters
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import Disk, Machine
from sandbox.guest.disk_backup import DiskBackup, Point, has_checkpoint
from sandbox.guest.errors import GuestError
from sandbox.guest.image import default_cache, guest_image
from sandbox.guest.machine import Guest, guest_sockets, qemu_installed
from sandbox.guest.nbd import ALLOCATION, MAX_READ_BYTES, NbdClient

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root"),
]
_ZERO = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    """A guest that writes to one disk of 2 GiB."""
    folder = tmp_path_factory.mktemp("backed-up")
    disk = folder / "data.img"
    disk.touch()
    os.truncate(disk, 2 << 30)
    machine = Machine(name="backed-up", disks=(Disk(volume="data", path=disk),))
    guest = await Guest.start(machine, guest_image(default_cache()), guest_sockets(folder, "tests", "backed-up"))
    async with guest.quiesce.agent_lock, Agent.connect(guest.sockets.agent, 60.0):
        pass
    await _writes_go_on(guest)
    yield guest
    await guest.kill()


async def test_pulled_extents_are_the_disk_at_the_freeze(guest: Guest, tmp_path: Path) -> None:
    """A full pull, and an increment on top of it, are bit-identical to copies made while the guest was frozen."""
    rebuilt = tmp_path / "rebuilt.img"
    rebuilt.touch()
    os.truncate(rebuilt, 2 << 30)
    for checkpoint, base in (("pull-1", None), ("pull-2", "pull-1"), ("pull-3", "pull-2")):
        frozen = tmp_path / checkpoint
        backup = await _taken(
            guest, Point(checkpoint=checkpoint, base=base, push=False, files=_files(tmp_path)), frozen
        )
        await _writes_go_on(guest)
        read_bytes = await _pull(backup, rebuilt)
        await backup.end()
        assert filecmp.cmp(rebuilt, frozen, shallow=False)
        assert 0 < read_bytes < 200 << 20
        frozen.unlink()
        assert not _files(tmp_path)["data"].exists()


async def test_pushed_images_are_the_disk_at_the_freeze(guest: Guest, tmp_path: Path) -> None:
    """A pushed full image is whole by itself; a pushed increment stands on it and holds only what changed."""
    images: list[Path] = []
    for checkpoint, base in (("push-1", None), ("push-2", "push-1")):
        frozen, image = tmp_path / f"{checkpoint}.raw", tmp_path / checkpoint / "data.qcow2"
        backup = await _taken(guest, Point(checkpoint=checkpoint, base=base, push=True, files={"data": image}), frozen)
        await backup.wait()
        await backup.end()
        images.append(image)
        if base:
            _run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(images[0]), str(image))
        _run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(image), str(tmp_path / "pushed.raw"))
        assert filecmp.cmp(tmp_path / "pushed.raw", frozen, shallow=False)
        await _writes_go_on(guest)
    assert images[1].stat().st_blocks < images[0].stat().st_blocks / 2


async def test_a_pushed_backup_that_is_ended_early_is_aborted(guest: Guest, tmp_path: Path) -> None:
    """Whoever waits for the job hears of the abort; the guest writes on and the next backup works."""
    point = Point(checkpoint="early", base=None, push=True, files=_files(tmp_path), bytes_per_second=1 << 20)
    backup = DiskBackup(guest.machine, guest.sockets, guest.monitor, point)
    await backup.prepare()
    await backup.take()
    waiting = asyncio.create_task(backup.wait())
    await backup.end()
    with pytest.raises(GuestError):
        await waiting
    await _writes_go_on(guest)


async def test_checkpoints_are_known_until_qemu_ends(guest: Guest, tmp_path: Path) -> None:
    """A checkpoint that was taken is found, one that was not is not: whoever builds on it must ask."""
    point = Point(checkpoint="known", base=None, push=False, files=_files(tmp_path))
    backup = DiskBackup(guest.machine, guest.sockets, guest.monitor, point)
    await backup.prepare()
    await backup.take()
    await backup.end()
    assert await has_checkpoint(guest.monitor, guest.machine.disks, "known")
    assert not await has_checkpoint(guest.monitor, guest.machine.disks, "unknown")


async def _taken(guest: Guest, point: Point, copy: Path) -> DiskBackup:
    """The point in time, and a copy of the disk as it was then."""
    backup = DiskBackup(guest.machine, guest.sockets, guest.monitor, point)
    await backup.prepare()
    await guest.quiesce.freeze(60.0)
    try:
        await backup.take()
        copy_file(guest.machine.disks[0].path, copy)
    finally:
        await guest.quiesce.thaw()
    return backup


async def _pull(backup: DiskBackup, target: Path) -> int:
    """Writes into the target what the backup's map asks for; returns the bytes read."""
    contexts = [ALLOCATION, *([backup.delta_context] if backup.delta_context else [])]
    read_bytes = 0
    async with NbdClient.connect(backup.socket, "data", contexts) as client:
        with target.open("r+b") as stream:
            offset = 0
            while offset < client.size_bytes:
                found = await client.extents(offset, client.size_bytes - offset)
                wanted = found[contexts[-1]]
                for extent in wanted:
                    taken = extent.flags & 1 if backup.delta_context else not extent.flags & _ZERO
                    if taken:
                        read_bytes += await _copy(client, stream.fileno(), extent.offset, extent.length)
                offset = wanted[-1].offset + wanted[-1].length
    return read_bytes


async def _copy(client: NbdClient, target: int, offset: int, length: int) -> int:
    for start in range(offset, offset + length, MAX_READ_BYTES):
        data = await client.read(start, min(MAX_READ_BYTES, offset + length - start))
        os.pwrite(target, data, start)
    return length


async def _writes_go_on(guest: Guest) -> None:
    before = acknowledged_counters(guest.sockets.acknowledged).get("data", 0)
    async with asyncio.timeout(180):
        # The state is another process's.
        while acknowledged_counters(guest.sockets.acknowledged).get("data", 0) <= before + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _files(folder: Path) -> dict[str, Path]:
    return {"data": folder / "scratch" / "data.qcow2"}


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
