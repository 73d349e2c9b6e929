"""`python -m sandbox kubevirt` and `python -m sandbox guest` as programs: started, killed, started again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster
from sandbox.cluster.kinds import NAMESPACE, PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE
from sandbox.cluster.waiting import wait_until
from sandbox.csi.service import running_storage
from sandbox.guest.machine import qemu_installed

from .objects import claim, machine, settled


@asynccontextmanager
async def _program(kubeconfig: Path, state: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The kubevirt part as a process of its own, ready; killed at the end."""
    arguments = ["--kubeconfig", str(kubeconfig), "--state", str(state / "kubevirt"), "--volumes", str(state / "csi")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "kubevirt", *arguments, *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _guest(state: Path, *arguments: str) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "sandbox", "guest", "--state", str(state / "kubevirt"), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    return process.returncode, (out + error).decode()


@pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root")
async def test_a_killed_part_takes_its_guests_along_and_its_successor_boots_them_again(tmp_path: Path) -> None:
    """SIGKILL is a power failure: the next start finds no guest, makes a new instance, and the disks are right."""
    with running_api_server(tmp_path / "api") as server:
        async with running_storage(server.kubeconfig, tmp_path / "csi"), Cluster.connect(server.kubeconfig) as cluster:
            await cluster.create(NAMESPACE, {"metadata": {"name": "shop"}})
            await cluster.create(PERSISTENT_VOLUME_CLAIM, claim("shop", "web-root", "Block", "2Gi"))
            await cluster.create(PERSISTENT_VOLUME_CLAIM, claim("shop", "web-data", "Filesystem", "2Gi"))
            async with _program(server.kubeconfig, tmp_path) as first:
                await cluster.create(VIRTUAL_MACHINE, machine("shop", "web"))
                await settled(cluster, VIRTUAL_MACHINE, "shop", "web", printableStatus="Running")
                status, said = await _guest(tmp_path, "check", "shop/web")
                assert status == 0
                assert all(report["ok"] for report in json.loads(said).values())
                before = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", "shop")
                first.kill()
                await first.wait()
            assert before
            status, said = await _guest(tmp_path, "exec", "shop/web", "true")
            assert (status, "cannot be reached" in said) == (1, True)
            async with _program(server.kubeconfig, tmp_path) as second:
                await wait_until(
                    cluster,
                    VIRTUAL_MACHINE_INSTANCE,
                    "web",
                    "shop",
                    reached=lambda vmi: (
                        vmi is not None
                        and vmi["metadata"]["uid"] != before["metadata"]["uid"]
                        and vmi["status"]["phase"] == "Running"
                    ),
                )
                status, said = await _guest(tmp_path, "check", "shop/web", "--when", "boot")
                assert status == 0, said
                assert (await _guest(tmp_path, "exec", "shop/web", "--", "echo", "hello"))[1] == "hello\n"
                second.terminate()
                assert await asyncio.wait_for(second.wait(), 30) == 0


async def test_without_qemu_it_says_so_and_serves_disks(tmp_path: Path) -> None:
    """--no-qemu: plain words in the log, machines that run, no agent."""
    with running_api_server(tmp_path / "api") as server:
        async with running_storage(server.kubeconfig, tmp_path / "csi"), Cluster.connect(server.kubeconfig) as cluster:
            await cluster.create(NAMESPACE, {"metadata": {"name": "shop"}})
            for name, mode in (("web-root", "Block"), ("web-data", "Filesystem")):
                await cluster.create(PERSISTENT_VOLUME_CLAIM, claim("shop", name, mode, "64Mi"))
            async with _program(server.kubeconfig, tmp_path, "--no-qemu") as program:
                await cluster.create(VIRTUAL_MACHINE, machine("shop", "web"))
                vm = await settled(cluster, VIRTUAL_MACHINE, "shop", "web", printableStatus="Running")
                assert "AgentConnected" not in {item["type"] for item in vm["status"]["conditions"]}
                program.terminate()
                assert await asyncio.wait_for(program.wait(), 30) == 0


async def test_a_guest_is_named_by_namespace_and_machine(tmp_path: Path) -> None:
    """Wrong usage ends with 2 and one sentence."""
    status, said = await _guest(tmp_path, "check", "web")
    assert (status, "is not NAMESPACE/VM" in said) == (2, True)
