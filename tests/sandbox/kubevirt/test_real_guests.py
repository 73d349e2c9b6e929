"""Snapshots, faults and restores of a machine that is a real guest, through the API as a backup uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import (
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_RESTORE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
)
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.csi.service import running_storage
from sandbox.guest.image import default_cache, guest_image
from sandbox.guest.inside import guest_check, guest_counters, guest_exec
from sandbox.guest.machine import qemu_installed
from sandbox.kubevirt.names import FAULT
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import claim, machine, restore, settled, snapshot

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root"),
]
_NAMESPACE = "shop"


@dataclass(frozen=True)
class Running:
    """A cluster with one VM, `web`, whose agent is connected."""

    cluster: Cluster
    settings: Settings
    kubeconfig: Path

    def freezes(self) -> list[dict[str, Any]]:
        """What freezes.jsonl holds."""
        path = self.settings.state / "freezes.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def agent(self, *, connected: bool = True, name: str = "web") -> None:
        """Waits until the VMI says that its agent is there, or not."""

        def reached(vmi: Object | None) -> bool:
            status = (vmi or {}).get("status") or {}
            seen = any(item["type"] == "AgentConnected" for item in status.get("conditions") or [])
            return status.get("phase") == "Running" and seen is connected

        await wait_until(self.cluster, VIRTUAL_MACHINE_INSTANCE, name, _NAMESPACE, reached=reached, timeout_seconds=180)

    async def fault(self, text: str | None) -> None:
        """Makes a fault happen in the guest, or ends all, by the VM's annotation."""
        body = {"metadata": {"annotations": {FAULT: text}}}
        await self.cluster.patch(VIRTUAL_MACHINE, "web", body, _NAMESPACE)

    async def writes(self) -> None:
        """Waits until every disk's ledger has acknowledged another commit."""
        before = guest_counters(self.settings.state, _NAMESPACE, "web")
        async with asyncio.timeout(180):
            while True:
                now = guest_counters(self.settings.state, _NAMESPACE, "web")
                if set(now) == {"root", "data"} and all(now[disk] > before.get(disk, 0) for disk in now):
                    return
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The machine boots once for all tests of this file."""
    state = tmp_path_factory.mktemp("real")
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
            await cluster.create(VIRTUAL_MACHINE, machine(_NAMESPACE, "web"))
            world = Running(cluster, settings, server.kubeconfig)
            await world.agent()
            yield world


async def _seen_frozen(cluster: Cluster, version: str) -> bool:
    """True as soon as the VMI has shown that it is frozen, since that version of it."""
    fields = "metadata.name=web"
    async for _, vmi in cluster.watch(VIRTUAL_MACHINE_INSTANCE, _NAMESPACE, resource_version=version, fields=fields):
        if (vmi.get("status") or {}).get("fsFreezeStatus") == "frozen":
            return True
    return False


async def test_a_snapshot_freezes_through_the_agent_and_restores_to_the_frozen_state(running: Running) -> None:
    """GuestAgent, a short freeze that a watcher sees, and a copy that boots clean at the counter of the freeze."""
    cluster = running.cluster
    await running.writes()
    vmi = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE)
    assert vmi
    watcher = asyncio.create_task(_seen_frozen(cluster, vmi["metadata"]["resourceVersion"]))
    await cluster.create(VM_SNAPSHOT, snapshot(_NAMESPACE, "s1", "web"))
    done = await settled(cluster, VM_SNAPSHOT, _NAMESPACE, "s1", readyToUse=True)
    assert done["status"]["indications"] == ["GuestAgent", "Online"]
    assert await asyncio.wait_for(watcher, 60)
    freeze = running.freezes()[-1]
    assert (freeze["namespace"], freeze["vm"]) == (_NAMESPACE, "web")
    assert 0 < freeze["millis"] < 5000
    await running.writes()
    await cluster.create(VM_RESTORE, restore(_NAMESPACE, "r1", "copy", "s1"))
    await settled(cluster, VM_RESTORE, _NAMESPACE, "r1", complete=True)
    await cluster.patch(VIRTUAL_MACHINE, "copy", {"spec": {"runStrategy": "Always"}}, _NAMESPACE)
    await running.agent(name="copy")
    reports = await guest_check(running.settings.state, _NAMESPACE, "copy", "boot")
    await cluster.delete(VIRTUAL_MACHINE, "copy", _NAMESPACE)
    await wait_until_gone(cluster, VIRTUAL_MACHINE, "copy", _NAMESPACE)
    for disk, report in reports.items():
        assert (report["filesystem"], report["ok"], report["badFiles"]) == ("clean", True, 0)
        # A commit on the disk may be acknowledged only after the thaw.
        assert report["counter"] - freeze["counters"][disk] in (0, 1)


async def test_a_refused_freeze_keeps_the_snapshot_waiting_until_it_works(running: Running) -> None:
    """In error state with the agent's words and no VolumeSnapshot; when the fault ends it succeeds by itself."""
    cluster = running.cluster
    await running.fault("freeze-fails")
    await asyncio.wait_for(_fault_is_set(running, "freeze-fails"), 60)
    await cluster.create(VM_SNAPSHOT, snapshot(_NAMESPACE, "s2", "web"))
    failing = await wait_until(cluster, VM_SNAPSHOT, "s2", _NAMESPACE, reached=lambda obj: "In error state" in str(obj))
    assert failing
    assert "fsfreeze hook has failed" in failing["status"]["error"]["message"]
    assert failing["status"]["phase"] == "InProgress"
    uid = failing["metadata"]["uid"]
    assert not [item for item in await cluster.list(VOLUME_SNAPSHOT, _NAMESPACE) if uid in item["metadata"]["name"]]
    await running.fault(None)
    done = await settled(cluster, VM_SNAPSHOT, _NAMESPACE, "s2", readyToUse=True)
    assert "error" not in done["status"]
    await running.writes()


async def _fault_is_set(running: Running, fault: str) -> None:
    while fault not in await guest_exec(running.settings.state, _NAMESPACE, "web", "ls /run/fault; usleep 50000"):
        pass


async def test_a_hanging_agent_fails_the_snapshot_at_its_deadline(running: Running) -> None:
    """A stopped agent looks connected and never answers: Failed with the recorded reason, and the guest writes on."""
    cluster = running.cluster
    await running.fault("agent-hangs")
    await asyncio.wait_for(_fault_is_set(running, "agent-hangs"), 60)
    await cluster.create(VM_SNAPSHOT, snapshot(_NAMESPACE, "s3", "web", failureDeadline="6s"))
    failed = await settled(cluster, VM_SNAPSHOT, _NAMESPACE, "s3", phase="Failed")
    failure = next(item for item in failed["status"]["conditions"] if item["type"] == "Failure")
    assert failure["reason"] == "snapshot deadline exceeded"
    await running.fault(None)
    await running.writes()


async def test_an_absent_agent_means_a_snapshot_without_a_freeze(running: Running) -> None:
    """The condition goes, the snapshot says NoGuestAgent and nothing was frozen; the agent comes back."""
    cluster = running.cluster
    await running.fault("agent-absent")
    await running.agent(connected=False)
    frozen = len(running.freezes())
    await cluster.create(VM_SNAPSHOT, snapshot(_NAMESPACE, "s4", "web"))
    done = await settled(cluster, VM_SNAPSHOT, _NAMESPACE, "s4", readyToUse=True)
    assert done["status"]["indications"] == ["NoGuestAgent", "Online"]
    assert len(running.freezes()) == frozen
    await running.fault(None)
    await running.agent()


async def test_pausing_freezing_and_looking_inside_through_the_subresources(running: Running) -> None:
    """A paused guest is not frozen by a snapshot, a freeze ends at its timeout, and the agent's facts are served."""
    cluster = running.cluster
    base = f"/apis/subresources.kubevirt.io/v1/namespaces/{_NAMESPACE}/virtualmachineinstances/web"
    systems = await cluster.request("GET", f"{base}/filesystemlist")
    assert {item["mountPoint"] for item in systems["items"]} >= {"/data/root", "/data/data"}
    assert (await cluster.request("GET", f"{base}/guestosinfo"))["hostname"] == "web"
    frozen = len(running.freezes())
    await cluster.request("PUT", f"{base}/freeze", body={"unfreezeTimeout": "1s"})
    await wait_until(
        cluster,
        VIRTUAL_MACHINE_INSTANCE,
        "web",
        _NAMESPACE,
        reached=lambda vmi: len(running.freezes()) > frozen and "fsFreezeStatus" not in (vmi or {})["status"],
    )
    await cluster.request("PUT", f"{base}/pause", body={})
    await settled(cluster, VIRTUAL_MACHINE, _NAMESPACE, "web", printableStatus="Paused")
    await cluster.create(VM_SNAPSHOT, snapshot(_NAMESPACE, "s5", "web"))
    done = await settled(cluster, VM_SNAPSHOT, _NAMESPACE, "s5", readyToUse=True)
    assert done["status"]["indications"] == ["Online", "Paused"]
    # Until the snapshot has let go of the VM, unpausing is refused.
    await settled(cluster, VIRTUAL_MACHINE, _NAMESPACE, "web", snapshotInProgress=None)
    await cluster.request("PUT", f"{base}/unpause", body={})
    await settled(cluster, VIRTUAL_MACHINE, _NAMESPACE, "web", printableStatus="Running")
    await running.writes()


async def test_a_guest_that_dies_is_started_again(running: Running) -> None:
    """The part that ran a guest is gone: the instance ends as Failed and a new one boots from the same disks."""
    cluster = running.cluster
    before = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", _NAMESPACE)
    assert before
    await guest_exec(running.settings.state, _NAMESPACE, "web", "(sleep 0.2; echo c > /proc/sysrq-trigger) &")
    await wait_until(
        cluster,
        VIRTUAL_MACHINE_INSTANCE,
        "web",
        _NAMESPACE,
        reached=lambda vmi: vmi is not None and vmi["metadata"]["uid"] != before["metadata"]["uid"],
    )
    await running.agent()
    reports = await guest_check(running.settings.state, _NAMESPACE, "web", "boot")
    assert {report["filesystem"] for report in reports.values()} <= {"replayed", "clean"}
    assert all(report["ok"] for report in reports.values())
