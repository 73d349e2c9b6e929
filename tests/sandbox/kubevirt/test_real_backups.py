"""Backups of a running guest: pushed images and pulled extents, checkpoints, aborts, restarts, through the API."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import InvalidError
from sandbox.cluster.kinds import (
    EVENT,
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_BACKUP,
    VM_BACKUP_TRACKER,
    VM_EXPORT,
)
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage
from sandbox.guest.image import default_cache, guest_image
from sandbox.guest.inside import guest_counters
from sandbox.guest.machine import qemu_installed
from sandbox.kubevirt.conditions import condition_of, is_true
from sandbox.kubevirt.names import BACKUP_SPEED, FAULT
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import backup, claim, machine, settled, tracker
from .real_schemas import assert_really_valid

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root"),
]
_NAMESPACE, _TOKEN, _SIZE_BYTES = "shop", "s3cret", 2 << 30


@dataclass(frozen=True)
class Running:
    """A cluster with one VM, `web`, whose blocks are tracked, a tracker, a claim `stage` and a token."""

    cluster: Cluster
    settings: Settings

    async def tracked(self) -> None:
        """Waits until the guest's agent is there and its blocks are tracked."""

        def reached(vmi: Object | None) -> bool:
            state = ((vmi or {}).get("status") or {}).get("changedBlockTracking") or {}
            return is_true(vmi, "AgentConnected") and state.get("state") == "Enabled"

        await wait_until(
            self.cluster, VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE, reached=reached, timeout_seconds=180
        )

    async def writes(self) -> None:
        """Waits until every disk's ledger has acknowledged another commit."""
        before = guest_counters(self.settings.state, _NAMESPACE, "web")
        async with asyncio.timeout(180):
            while True:
                now = guest_counters(self.settings.state, _NAMESPACE, "web")
                if set(now) == {"root", "data"} and all(now[disk] > before.get(disk, 0) for disk in now):
                    return
                await asyncio.sleep(0.05)

    async def back_up(self, name: str, **spec: Any) -> Object:
        """Creates a backup and returns it at its end."""
        await self.cluster.create(VM_BACKUP, backup(_NAMESPACE, name, "web-tracker", "stage", **spec))
        return await self.ended(name)

    async def ended(self, name: str) -> Object:
        """The backup, complete or failed."""
        return await self.when(name, lambda obj: is_true(obj, "Complete") or is_true(obj, "Failed"))

    async def progress(self, name: str, reason: str) -> Object:
        """The backup as soon as its progress has this reason."""
        return await self.when(name, lambda obj: (condition_of(obj, "Progressing") or {}).get("reason") == reason)

    async def when(self, name: str, reached: Any) -> Object:
        """The backup as soon as the predicate holds."""
        found = await wait_until(self.cluster, VM_BACKUP, name, _NAMESPACE, reached=reached, timeout_seconds=180)
        assert found is not None
        return found

    async def checkpoint(self) -> str | None:
        """The tracker's latest."""
        found = await self.cluster.get(VM_BACKUP_TRACKER, "web-tracker", _NAMESPACE)
        latest = ((found or {}).get("status") or {}).get("latestCheckpoint") or {}
        return latest.get("name")

    async def path(self, name: str) -> Path:
        """The file or folder behind a claim."""
        found = await self.cluster.get(PERSISTENT_VOLUME_CLAIM, name, _NAMESPACE)
        assert found
        volume = await self.cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
        assert volume
        return volume_path(self.settings.volumes, volume["spec"]["csi"]["volumeHandle"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The machine boots once for all tests of this file, which build on one another's checkpoints."""
    state = tmp_path_factory.mktemp("backups")
    settings = Settings(state=state / "kubevirt", volumes=state / "csi", image=guest_image(default_cache()))
    with running_api_server(state / "api") as server:
        async with (
            running_storage(server.kubeconfig, settings.volumes),
            running_kubevirt(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig, "test") as cluster,
        ):
            await cluster.create(NAMESPACE, {"metadata": {"name": _NAMESPACE}})
            await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(_NAMESPACE, "web-root", "Block", "2Gi"))
            await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(_NAMESPACE, "web-data", "Filesystem", "2Gi"))
            await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(_NAMESPACE, "stage", "Filesystem", "4Gi"))
            secret = {"metadata": {"name": "token", "namespace": _NAMESPACE}, "stringData": {"token": _TOKEN}}
            await cluster.create(SECRET, secret)
            vm = machine(_NAMESPACE, "web")
            vm["metadata"]["labels"]["changedBlockTracking"] = "true"
            await cluster.create(VIRTUAL_MACHINE, vm)
            await cluster.create(VM_BACKUP_TRACKER, tracker(_NAMESPACE, "web-tracker", "web"))
            world = Running(cluster, settings)
            await world.tracked()
            await world.writes()
            yield world


async def test_pushed_backups_are_full_then_incremental(running: Running) -> None:
    """Whole images lie where KubeVirt puts them; the increment on top gives a clean disk; the tracker follows."""
    full = await running.back_up("push-1")
    await running.writes()
    delta = await running.back_up("push-2")
    assert [full["status"]["type"], delta["status"]["type"]] == ["Full", "Incremental"]
    for item in (full, delta):
        assert condition_of(item, "Quiesced")["reason"] == "QuiesceSucceeded"  # type: ignore[index]
    assert await running.checkpoint() == delta["status"]["checkpointName"]
    stage = await running.path("stage")
    for volume in ("root", "data"):
        images = [
            stage / "web" / item["status"]["checkpointName"] / f"{item['metadata']['name']}-{volume}.qcow2"
            for item in (full, delta)
        ]
        assert images[1].stat().st_blocks < images[0].stat().st_blocks / 2
        _run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(images[0]), str(images[1]))
        raw = stage / f"{volume}.raw"
        _run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(images[1]), str(raw))
        # It was frozen at the cut: the journal is clean, nothing needs repair.
        _run("e2fsck", "-fn", str(raw))
        raw.unlink()
    vmi = await running.cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE)
    assert vmi
    assert vmi["status"]["changedBlockTracking"] == {"state": "Enabled"}
    _are_really_valid(virtualmachinebackups=[full, delta], virtualmachineinstances=[vmi])


async def test_a_pull_serves_what_was_frozen_and_ends_by_deletion(running: Running) -> None:
    """Full, then incremental: maps and data over HTTPS give a clean disk while the guest goes on writing."""
    disk = running.settings.state / "pulled.raw"
    disk.touch()
    os.truncate(disk, _SIZE_BYTES)
    backups: list[Object] = []
    exports: list[Object] = []
    instances: list[Object] = []
    for name, full in (("pull-1", True), ("pull-2", False)):
        await running.cluster.create(
            VM_BACKUP,
            backup(_NAMESPACE, name, "web-tracker", "stage", mode="Pull", tokenSecretRef="token", forceFullBackup=full),
        )
        ready = await running.progress(name, "ExportReady")
        backups.append(ready)
        exported = await settled(running.cluster, VM_EXPORT, _NAMESPACE, name, phase="Ready")
        exports.append(exported)
        plugged = await running.cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE)
        assert plugged
        instances.append(plugged)
        assert plugged["status"]["changedBlockTracking"]["backupStatus"]["backupName"] == name
        assert ready["status"]["exportUID"] == exported["metadata"]["uid"]
        assert ready["status"]["type"] == ("Full" if full else "Incremental")
        assert await running.checkpoint() != ready["status"]["checkpointName"]
        await running.writes()
        read_bytes = await _pull(ready, "root", disk)
        assert 0 < read_bytes < (200 << 20 if full else 60 << 20)
        _run("e2fsck", "-fn", str(disk))
        await running.writes()
        await running.cluster.delete(VM_BACKUP, name, _NAMESPACE)
        await wait_until_gone(running.cluster, VM_BACKUP, name, _NAMESPACE)
        assert await running.checkpoint() == ready["status"]["checkpointName"]
    kept = await running.cluster.get(VM_BACKUP_TRACKER, "web-tracker", _NAMESPACE)
    assert kept
    await wait_until_gone(running.cluster, VM_EXPORT, "pull-2", _NAMESPACE)
    await wait_until_gone(running.cluster, POD, "virt-export-pull-2", _NAMESPACE)
    assert [path for path in (await running.path("stage")).rglob("pull-*") if path.is_file()] == []
    _are_really_valid(
        virtualmachinebackups=backups,
        virtualmachineexports=exports,
        virtualmachineinstances=instances,
        virtualmachinebackuptrackers=[kept],
    )


async def test_a_pull_whose_time_is_up_counts_as_complete(running: Running) -> None:
    """The hazard of the real one: nobody has read anything, and the tracker moves on all the same."""
    spec = {"mode": "Pull", "tokenSecretRef": "token", "ttlDuration": "8s"}
    ended = await running.back_up("late", **spec)
    assert is_true(ended, "Complete")
    assert await running.checkpoint() == ended["status"]["checkpointName"]


async def test_a_push_that_is_deleted_fails_and_leaves_the_tracker(running: Running) -> None:
    """Aborted, Failed with the recorded words, gone; the next increment builds on the checkpoint before."""
    before = await running.checkpoint()
    await _slow(running, "1048576")
    await running.cluster.create(VM_BACKUP, backup(_NAMESPACE, "aborted", "web-tracker", "stage", forceFullBackup=True))
    await running.when("aborted", lambda obj: bool(((obj or {}).get("status") or {}).get("includedVolumes")))
    with pytest.raises(InvalidError, match='VirtualMachineBackup "aborted" in progress for source'):
        await running.cluster.create(VM_BACKUP, backup(_NAMESPACE, "second", "web-tracker", "stage"))
    await running.cluster.delete(VM_BACKUP, "aborted", _NAMESPACE)
    await wait_until_gone(running.cluster, VM_BACKUP, "aborted", _NAMESPACE)
    assert await running.checkpoint() == before
    told = [item["message"] for item in await _events(running, "aborted")]
    assert told == ["Backup is aborting", "backup aborted"]
    await _slow(running, None)
    assert (await running.back_up("after-abort"))["status"]["type"] == "Incremental"


async def test_a_claim_that_is_too_small_fails_the_push(running: Running) -> None:
    """The message is that of QEMU; the tracker stays where it was."""
    before = await running.checkpoint()
    await running.cluster.create(PERSISTENT_VOLUME_CLAIM, claim(_NAMESPACE, "small", "Filesystem", "8Mi"))
    await running.cluster.create(VM_BACKUP, backup(_NAMESPACE, "too-big", "web-tracker", "small", forceFullBackup=True))
    failed = condition_of(await running.ended("too-big"), "Failed")
    assert failed is not None
    assert failed["message"] == "Backup has failed: Failed to write to target: No space left on device"
    assert await running.checkpoint() == before


async def test_a_guest_that_cannot_be_frozen_is_backed_up_with_a_warning(running: Running) -> None:
    """Quiesced is False and the backup complete: it is only as consistent as after a crash."""
    await running.cluster.patch(
        VIRTUAL_MACHINE, "web", {"metadata": {"annotations": {FAULT: "freeze-fails"}}}, _NAMESPACE
    )
    ended = await running.back_up("unfrozen")
    skipped = await running.back_up("skipped", skipQuiesce=True)
    await running.cluster.patch(VIRTUAL_MACHINE, "web", {"metadata": {"annotations": {FAULT: None}}}, _NAMESPACE)
    reasons = [
        [condition_of(item, kind)["reason"] for kind in ("Quiesced", "Complete")]  # type: ignore[index]
        for item in (ended, skipped)
    ]
    assert reasons == [["QuiesceFailed", "CompletedWithWarning"], ["QuiesceSkipped", "Completed"]]


async def test_a_restart_loses_the_checkpoints(running: Running) -> None:
    """The tracker is cleared with a warning and the next backup is full; a stopped guest is waited for."""
    await running.cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, _NAMESPACE)
    await wait_until_gone(running.cluster, VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE)
    await running.cluster.create(VM_BACKUP, backup(_NAMESPACE, "restarted", "web-tracker", "stage"))
    waiting = await running.progress("restarted", "Initializing")
    assert condition_of(waiting, "Progressing")["message"] == "vm web is not running, cannot do backup"  # type: ignore[index]
    await running.cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Always"}}, _NAMESPACE)
    ended = await running.ended("restarted")
    assert (ended["status"]["type"], is_true(ended, "Complete")) == ("Full", True)
    assert "CheckpointRedefinitionFailed" in {item["reason"] for item in await _events(running, "web-tracker")}
    assert await running.checkpoint() == ended["status"]["checkpointName"]


async def test_a_guest_that_ends_fails_its_backup(running: Running) -> None:
    """Failed as the source's fault, with nothing left plugged; the tracker stays where it was."""
    await running.tracked()
    before = await running.checkpoint()
    await running.cluster.create(
        VM_BACKUP, backup(_NAMESPACE, "lost", "web-tracker", "stage", mode="Pull", tokenSecretRef="token")
    )
    await running.progress("lost", "ExportReady")
    await running.cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, _NAMESPACE)
    ended = await running.ended("lost")
    assert condition_of(ended, "Failed")["reason"] in {"SourceLost", "SourceUnhealthy"}  # type: ignore[index]
    assert await running.checkpoint() == before
    assert await running.cluster.get(VM_EXPORT, "lost", _NAMESPACE) is None


async def _pull(ready: Object, volume: str, target: Path) -> int:
    """Writes into the target what the map asks for; returns the bytes read."""
    status = ready["status"]
    endpoints = next(item for item in status["includedVolumes"] if item["volumeName"] == volume)
    trusted = ssl.create_default_context(cadata=status["endpointCert"])
    full, read_bytes, offset = status["type"] == "Full", 0, 0
    headers = {"x-kubevirt-export-token": _TOKEN}
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        with target.open("r+b") as stream:
            while offset is not None:
                async with session.get(endpoints["mapEndpoint"], params={"offset": offset, "page_size": 64}) as answer:
                    page = await answer.json()
                assert len(page["extents"]) <= 64
                for extent in page["extents"]:
                    where = {"offset": extent["offset"], "length": extent["length"]}
                    if extent["type"] & 2:
                        stream.seek(extent["offset"])
                        _zero(stream.fileno(), **where)
                    elif full or extent["type"] & 1:
                        async with session.get(endpoints["dataEndpoint"], params=where) as answer:
                            data = await answer.read()
                        assert len(data) == extent["length"]
                        os.pwrite(stream.fileno(), data, extent["offset"])
                        read_bytes += len(data)
                offset = page["next_offset"]
        async with session.get(endpoints["mapEndpoint"], params={"page_size": 0}) as answer:
            assert answer.status == 400
        async with session.get(endpoints["mapEndpoint"], params={"offset": _SIZE_BYTES}) as answer:
            assert answer.status == 500
        async with session.head(endpoints["dataEndpoint"]) as answer:
            assert answer.status == 405
    return read_bytes


def _zero(target: int, offset: int, length: int) -> None:
    if any(os.pread(target, min(length, 1 << 20), offset)):
        os.pwrite(target, bytes(length), offset)


async def _slow(running: Running, speed: str | None) -> None:
    body = {"metadata": {"annotations": {BACKUP_SPEED: speed}}}
    await running.cluster.patch(VIRTUAL_MACHINE, "web", body, _NAMESPACE)


async def _events(running: Running, name: str) -> list[Object]:
    found = await running.cluster.list(EVENT, _NAMESPACE, fields=f"involvedObject.name={name}")
    return sorted(found, key=lambda item: int(item["metadata"]["resourceVersion"]))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _are_really_valid(**found: list[Object]) -> None:
    """Objects by the plural of their kind. Last in a test: it skips where the real definitions are absent."""
    for plural, objects in found.items():
        for each in objects:
            assert_really_valid(each, plural)
