"""Real guests under QEMU: boot, write, freeze, fail, crash and restore, without Kubernetes."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.guest.acknowledged import acknowledged_counters
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import Disk, Machine
from sandbox.guest.errors import AgentError, AgentSilentError
from sandbox.guest.image import GuestImage, default_cache, guest_image
from sandbox.guest.machine import Guest, guest_sockets, qemu_installed
from sandbox.guest.quiesce import Freeze

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root"),
]
_BOOT_SECONDS = 60.0


@pytest.fixture(scope="module")
def image() -> GuestImage:
    """The image of this machine, from the cache that the sandbox uses."""
    return guest_image(default_cache())


def _blank(path: Path) -> Path:
    path.touch()
    os.truncate(path, 2 << 30)
    return path


async def _start(image: GuestImage, folder: Path, paths: dict[str, Path], *faults: str) -> Guest:
    disks = tuple(Disk(volume=volume, path=path) for volume, path in paths.items())
    machine = Machine(name=folder.name, disks=disks, faults=faults)
    return await Guest.start(machine, image, guest_sockets(folder, "tests", folder.name))


async def _reports(guest: Guest, when: str) -> dict[str, dict[str, Any]]:
    lines = (await guest.exec(f"checks {when}", _BOOT_SECONDS)).split("\n")
    return {report["disk"]: report for report in map(json.loads, filter(None, lines))}


async def _agent_answers(guest: Guest) -> None:
    async with guest.quiesce.agent_lock, Agent.connect(guest.sockets.agent, _BOOT_SECONDS):
        return


async def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the state is another process's)
            await asyncio.sleep(0.02)


def _command_of(pid: int) -> str:
    """The command line of a process, empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _counters(guest: Guest) -> dict[str, int]:
    return acknowledged_counters(guest.sockets.acknowledged)


async def _counters_at_rest(guest: Guest) -> dict[str, int]:
    """As soon as nothing comes any more that was acknowledged before."""
    last: dict[str, int] = {}
    async with asyncio.timeout(180):
        while (now := _counters(guest)) != last:
            last = now
            await asyncio.sleep(0.3)
    return now


async def _writes_go_on(guest: Guest) -> None:
    before = _counters(guest)
    await _until(
        lambda: all(_counters(guest).get(disk.serial, 0) > before.get(disk.serial, 0) for disk in guest.machine.disks)
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(image: GuestImage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    """One guest with two disks, blank at first, that most tests share."""
    folder = tmp_path_factory.mktemp("shared")
    guest = await _start(image, folder, {"root": _blank(folder / "root.raw"), "data": _blank(folder / "data.raw")})
    await _agent_answers(guest)
    yield guest
    await guest.shut_down(10.0)


async def _copies_of(guest: Guest, folder: Path) -> dict[str, Path]:
    copies = {disk.volume: folder / disk.path.name for disk in guest.machine.disks}
    for disk in guest.machine.disks:
        copy = await asyncio.create_subprocess_exec("cp", "--sparse=always", disk.path, copies[disk.volume])
        assert await copy.wait() == 0
    return copies


async def test_blank_disks_are_formatted_and_written_to(guest: Guest) -> None:
    """A first boot makes a file system with a ledger on every disk, and the counters run."""
    assert {report["filesystem"] for report in (await _reports(guest, "boot")).values()} == {"new"}
    await _writes_go_on(guest)


async def test_a_freeze_stops_the_commits_and_a_thaw_lets_them_go_on(guest: Guest) -> None:
    """While frozen no disk acknowledges anything; afterwards the record says how long and where the counters stood."""
    ended: list[Freeze] = []
    guest.quiesce.on_thaw = ended.append
    await guest.quiesce.freeze(60)
    at_freeze = await _counters_at_rest(guest)
    await asyncio.sleep(1.0)
    assert _counters(guest) == at_freeze
    await guest.quiesce.thaw()
    await _writes_go_on(guest)
    assert [freeze.counters for freeze in ended] == [at_freeze]
    assert 1300 <= ended[0].millis < 60_000


async def test_a_copy_made_while_frozen_is_clean_and_stands_at_the_freeze(
    guest: Guest, image: GuestImage, tmp_path: Path
) -> None:
    """Booted again, the copy needs no journal, every checksum is right, and the counter is that of the freeze.

    A commit that was on the disk when the freeze came may be acknowledged only after the thaw, hence the one.
    """
    ended: list[Freeze] = []
    guest.quiesce.on_thaw = ended.append
    await guest.quiesce.freeze(60)
    copies = await _copies_of(guest, tmp_path)
    await guest.quiesce.thaw()
    restored = await _start(image, tmp_path, copies)
    try:
        reports = await _reports(restored, "boot")
    finally:
        await restored.kill()
    for serial, report in reports.items():
        assert (report["filesystem"], report["integrity"], report["badFiles"], report["ok"]) == ("clean", "ok", 0, True)
        assert report["files"] >= 8
        assert report["counter"] - ended[0].counters[serial] in (0, 1)


async def test_a_crash_copy_is_told_apart_and_nothing_acknowledged_is_lost(
    guest: Guest, image: GuestImage, tmp_path: Path
) -> None:
    """A copy of a stopped, unfrozen machine needs its journal, and holds every acknowledged commit."""
    await _writes_go_on(guest)
    await guest.monitor.pause()
    counters, copies = _counters(guest), await _copies_of(guest, tmp_path)
    await guest.monitor.resume()
    restored = await _start(image, tmp_path, copies)
    try:
        reports = await _reports(restored, "boot")
    finally:
        await restored.kill()
    assert {report["filesystem"] for report in reports.values()} == {"replayed"}
    for serial, report in reports.items():
        assert report["ok"], report
        assert report["counter"] >= counters[serial]


async def test_a_refusing_hook_fails_the_freeze_and_leaves_the_guest_thawed(guest: Guest) -> None:
    """The agent's own message arrives, and the commits go on."""
    await guest.exec("fault freeze-fails")
    with pytest.raises(AgentError, match="fsfreeze hook has failed"):
        await guest.quiesce.freeze(60)
    await guest.exec("fault none")
    assert not guest.quiesce.frozen
    await _writes_go_on(guest)


async def test_a_hanging_agent_is_silent_but_its_port_stays_open(guest: Guest) -> None:
    """A stopped agent looks connected from outside and answers nothing; continued, it freezes and thaws again."""
    await guest.exec("fault agent-hangs")
    assert await guest.monitor.agent_port_open()
    with pytest.raises(AgentSilentError):
        await guest.quiesce.freeze(60)
    await guest.exec("fault none")
    await guest.quiesce.freeze(60)
    await guest.quiesce.thaw()
    await _writes_go_on(guest)


async def test_a_freeze_ends_at_its_deadline(guest: Guest) -> None:
    """Nobody thaws, and yet the guest writes again soon after the unfreeze timeout."""
    ended: list[Freeze] = []
    guest.quiesce.on_thaw = ended.append
    await guest.quiesce.freeze(1.5)
    await _until(lambda: bool(ended))
    assert 1500 <= ended[0].millis < 6000
    await _writes_go_on(guest)


async def test_checks_on_a_running_guest_see_damage(guest: Guest) -> None:
    """One flipped file fails the check of its disk only; repaired, the disk is right again."""
    assert all(report["ok"] for report in (await _reports(guest, "now")).values())
    await guest.exec("cp /data/data/files/seed-3 /run/seed-3; echo x >> /data/data/files/seed-3")
    reports = await _reports(guest, "now")
    assert (reports["data"]["ok"], reports["data"]["badFiles"], reports["root"]["ok"]) == (False, 1, True)
    await guest.exec("cp /run/seed-3 /data/data/files/seed-3")
    assert (await _reports(guest, "now"))["data"]["ok"]
    await _writes_go_on(guest)


async def test_a_guest_that_cannot_hear_yet_is_asked_again_to_power_off(image: GuestImage, tmp_path: Path) -> None:
    """A machine that is stopped while it boots powers off in the end, and is not killed."""
    guest = await _start(image, tmp_path, {"root": _blank(tmp_path / "root.raw")})
    ports = guest.sockets.agent, guest.sockets.control
    for port in ports:
        port.rename(port.with_suffix(".away"))
    stopping = asyncio.create_task(guest.shut_down(2 * _BOOT_SECONDS))
    try:
        done, _ = await asyncio.wait({stopping}, timeout=0.5)
        assert not done
        for port in ports:
            port.with_suffix(".away").rename(port)
        await stopping
        assert guest.process.returncode == 0
    finally:
        await guest.kill()


async def test_an_absent_agent_shows_as_a_closed_port_and_a_wipe_as_unreadable_disks(
    image: GuestImage, tmp_path: Path
) -> None:
    """Without an agent the port stays closed. A wiped disk is neither formatted again nor taken for a good one."""
    disk = _blank(tmp_path / "root.raw")
    guest = await _start(image, tmp_path, {"root": disk}, "agent-absent")
    try:
        await _writes_go_on(guest)
        assert not await guest.monitor.agent_port_open()
        assert "wiped /dev/vda" in await guest.exec("wipe")
        assert (await _reports(guest, "now"))["root"]["filesystem"] == "unreadable"
        await guest.shut_down(20.0)
        assert guest.process.returncode == 0
    finally:
        await guest.kill()
    again = await _start(image, tmp_path, {"root": disk})
    try:
        report = (await _reports(again, "boot"))["root"]
    finally:
        await again.kill()
    assert (report["ok"], report["filesystem"]) == (False, "unreadable")


async def test_no_guest_outlives_the_process_that_started_it(image: GuestImage, tmp_path: Path) -> None:
    """Killed without any chance to clean up, the starter takes its QEMU along."""
    program = f"""
import asyncio, sys
from pathlib import Path
from sandbox.guest.commandline import Disk, Machine
from sandbox.guest.image import GuestImage
from sandbox.guest.machine import Guest, guest_sockets
async def main():
    machine = Machine(name="orphan", disks=(Disk(volume="root", path=Path({str(_blank(tmp_path / "root.raw"))!r})),))
    image = GuestImage(Path({str(image.kernel)!r}), Path({str(image.initramfs)!r}))
    guest = await Guest.start(machine, image, guest_sockets(Path({str(tmp_path)!r}), "tests", "orphan"))
    print(guest.process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert starter.stdout
    pid = int(await starter.stdout.readline())
    assert _command_of(pid).startswith("qemu")
    starter.send_signal(signal.SIGKILL)
    await starter.wait()
    await _until(lambda: not _command_of(pid))
    shutil.rmtree(guest_sockets(tmp_path, "tests", "orphan").folder)
