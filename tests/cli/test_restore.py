"""`safehold restore` against an API server: a restore that is followed to its end, and the plan of one."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tests.interrupts import heed_interrupts

from gen_crds import CRDS
from safehold.api import VMRestore
from safehold.cli.restore.views import picture_of
from safehold.kube.client import Cluster
from safehold.kube.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, VM_RESTORE
from sandbox.apiserver import running_api_server

SHOP = "shop"
GIB = 1024**3
TIME = "2026-11-22T12:00:00Z"


@dataclass(frozen=True)
class Desk:
    """A cluster with a VMRestore `back`, whose status is written by hand, and somebody's terminal."""

    cluster: Cluster
    kubeconfig: Path

    async def says(self, phase: str, ready: str, message: str, **status: Any) -> None:
        """Set the status, as the operator would."""
        stalled = "True" if phase == "Failed" else "False"
        conditions = [
            {
                "type": kind,
                "status": value,
                "observedGeneration": 1,
                "lastTransitionTime": TIME,
                "reason": "Running",
                "message": message,
            }
            for kind, value in (("Ready", ready), ("Stalled", stalled))
        ]
        patch = {"status": {"observedGeneration": 1, "phase": phase, "conditions": conditions, **status}}
        await self.cluster.merge_patch(VM_RESTORE, "back", SHOP, patch, subresource="status")

    @asynccontextmanager
    async def command(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`safehold restore …`, without a terminal."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.kubeconfig.parent), "COLUMNS": "400"}
        options = ("--namespace", SHOP, "--kubeconfig", str(self.kubeconfig))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "safehold", "restore", *arguments, *options),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=heed_interrupts,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What it prints until it ends with this exit code."""
        async with self.command(*arguments) as process:
            out, err = await process.communicate()
            assert process.returncode == code, out.decode() + err.decode()
            return out.decode(), err.decode()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A cluster that knows VMRestores, and has one."""
    with running_api_server(tmp_path) as server:
        async with Cluster.connect(server.kubeconfig) as cluster:
            definition = yaml.safe_load((CRDS / "safehold.dev_vmrestores.yaml").read_text())
            await cluster.create(CUSTOM_RESOURCE_DEFINITION, definition)
            await cluster.create(NAMESPACE, {"metadata": {"name": SHOP}})
            spec = {"source": {"vm": "orders"}, "target": {"mode": "InPlace"}, "dryRun": True}
            await cluster.create(VM_RESTORE, {"metadata": {"name": "back", "namespace": SHOP}, "spec": spec})
            yield Desk(cluster, server.kubeconfig)


def progress(done: int, left: int) -> dict[str, int]:
    """Of four GiB."""
    return {"bytesDone": done * GIB, "bytesTotal": 4 * GIB, "percent": done * 25, "etaSeconds": left}


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def test_a_restore_is_followed_to_its_end(desk: Desk) -> None:
    """Without a terminal there is a line for every phase and tenth; it ends with the restore, well with 0."""
    await desk.says("Filling", "False", "waits for the worker")
    async with desk.command("--watch", "back") as process:
        assert await _line(process) == "Filling  waits for the worker\n"
        await desk.says("Filling", "False", "the worker is at it", progress=progress(1, 90))
        assert await _line(process) == "Filling  25% of 4.00 GiB, 1m 30s left  the worker is at it\n"
        await desk.says("Completed", "True", "VM orders is restored", progress=None)
        assert await _line(process) == "Completed  VM orders is restored\n"
        assert await process.wait() == 0


@pytest.mark.parametrize("output", ["text", "json"])
async def test_a_failure_is_the_exit_code_and_one_sentence(desk: Desk, output: str) -> None:
    """A restore that failed before it was looked at ends the command at once, with 1 and what went wrong."""
    failure = {"reason": "Damaged", "message": "a chunk is damaged"}
    await desk.says("Failed", "False", "a chunk is damaged", failure=failure)
    out, err = await desk.run("--watch", "back", "--output", output, code=1)
    assert err == "Error: VMRestore shop/back did not come to a good end; it is Failed: a chunk is damaged.\n"
    assert output == "text" or json.loads(out)["phase"] == "Failed"


async def test_what_was_just_asked_for_is_waited_for(desk: Desk) -> None:
    """Right after `undo` or `dryRun: false` the conditions are still those of what was before."""
    await desk.says("Planned", "True", "planned")
    await desk.cluster.merge_patch(VM_RESTORE, "back", SHOP, {"spec": {"dryRun": False}})
    async with desk.command("--watch", "back") as process:
        assert await _line(process) == "Planned  planned\n"
        await desk.says("Completed", "True", "VM orders is restored", observedGeneration=2)
        assert await _line(process) == "Completed  VM orders is restored\n"
        assert await process.wait() == 0


async def test_an_interrupt_ends_the_watching_and_not_the_restore(desk: Desk) -> None:
    """Ctrl-C says that the restore goes on; nothing of it was changed."""
    await desk.says("Filling", "False", "waits for the worker")
    before = await desk.cluster.read(VM_RESTORE, "back", SHOP)
    async with desk.command("--watch", "back") as process:
        await _line(process)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == "VMRestore shop/back goes on: watch it again with the same command.\n"
    assert await desk.cluster.read(VM_RESTORE, "back", SHOP) == before


async def test_what_is_not_there_is_told(desk: Desk) -> None:
    """A name without a VMRestore, one without a plan, one that is deleted meanwhile, and nothing to do at all."""
    assert "VMRestore shop/absent does not exist" in (await desk.run("--watch", "absent", code=1))[1]
    await desk.says("Failed", "False", "VMBackup shop/absent does not exist")
    assert (await desk.run("plan", "back", code=1))[1] == (
        "Error: VMRestore shop/back has no plan; it is Failed: VMBackup shop/absent does not exist.\n"
    )
    await desk.says("Filling", "False", "waits for the worker")
    async with desk.command("--watch", "back") as process:
        await _line(process)
        await desk.cluster.delete(VM_RESTORE, "back", SHOP)
        _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (1, "Error: VMRestore shop/back was deleted.\n")


@pytest.mark.parametrize(("severity", "code"), [("Warns", 0), ("Blocks", 1)])
async def test_a_plan_is_shown(desk: Desk, severity: str, code: int) -> None:
    """Facts, volumes, changes and conflicts are there for people and for scripts; what blocks is exit code 1."""
    plan = {
        "hash": "abc",
        "time": TIME,
        "restorePoint": "point-1",
        "captureTime": TIME,
        "estimateBasis": "unknown: no restore has been measured yet",
        "volumes": [{"name": "root", "claimName": "orders-root", "capacityBytes": GIB, "bytesToWrite": GIB}],
        "changes": [
            {"action": "Replace", "kind": "PersistentVolumeClaim", "namespace": SHOP, "name": "orders-root", "why": "w"}
        ],
        "conflicts": [{"severity": severity, "reason": "VMRuns", "message": "it runs"}],
    }
    await desk.says("Planned", "True", "planned", plan=plan)
    text, _ = await desk.run("plan", "back", code=code)
    for word in ("point-1", "unknown", "root", "1.00 GiB", "Replace", "shop/orders-root", severity, "it runs"):
        assert word in text
    document = json.loads((await desk.run("plan", "back", "--output", "json", code=code))[0])
    assert document["conflicts"] == plan["conflicts"]


def test_the_table_of_a_terminal_has_a_row_for_each_volume() -> None:
    """What is done, what is under way with percent and time left, and what waits."""
    volume = {"mode": "Block", "capacityBytes": 4 * GIB, "primeClaim": "p"}
    restore = VMRestore.model_validate(
        {
            "metadata": {"name": "back", "namespace": SHOP},
            "spec": {"source": {"vm": "orders"}, "target": {"mode": "InPlace"}},
            "status": {
                "phase": "Filling",
                "volumes": [
                    {
                        **volume,
                        "name": "root",
                        "claimName": "orders-root",
                        "bytesRestored": 4 * GIB,
                        "step": "Verified",
                    },
                    {**volume, "name": "data", "claimName": "orders-data", "progress": progress(2, 30)},
                    {**volume, "name": "logs", "claimName": "orders-logs"},
                ],
            },
        }
    )
    console = Console(width=160)
    with console.capture() as capture:
        console.print(picture_of(restore))
    head, _, _, *rows = capture.get().splitlines()
    assert head.split() == ["shop/back", "Filling"]
    assert [row.split()[:2] for row in rows] == [
        ["root", "orders-root"],
        ["data", "orders-data"],
        ["logs", "orders-logs"],
    ]
    ends = ["4.00 GiB, Verified", "50% of 4.00 GiB, 30s left", "waits"]
    assert [row.rstrip().endswith(end) for row, end in zip(rows, ends, strict=True)] == [True] * 3
