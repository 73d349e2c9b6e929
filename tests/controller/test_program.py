"""The controller as a program: Kopf's watches and finalizers on an API server, from start to SIGTERM."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import urllib3
from tests.controller.conftest import SHOP, define, served

from safehold.controller.memo import Operator
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    EVENT,
    VM,
    VM_BACKUP,
    VM_SNAPSHOT,
    VMI,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.ports import free_ports

FINALIZER = "safehold.dev/finalizer"
_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: silent
clusters: [{{name: silent, cluster: {{server: "{server}"}}}}]
users: [{{name: silent, user: {{}}}}]
contexts: [{{name: silent, context: {{cluster: silent, user: silent}}}}]
"""
TARGET_REF = {"kind": "BackupTarget", "name": "own"}
TARGET_SPEC = {
    "s3": {"bucket": "backups", "endpoint": "https://s3.example.org"},
    "encryption": {"keySecretRef": {"name": "key"}},
    "credentialsSecretRef": {"name": "credentials"},
}


@asynccontextmanager
async def controller(
    kubeconfig: Path, log: Path, *, metrics_port: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program; afterwards it must have ended well after one SIGTERM."""
    settings = {
        "SAFEHOLD_KUBECONFIG": str(kubeconfig),
        "SAFEHOLD_METRICS_PORT": str(metrics_port),
        "SAFEHOLD_LIVENESS_PORT": "0",
        "SAFEHOLD_POLL_SECONDS": "0.2",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "safehold", "controller", env={**os.environ, **settings}, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(180):
                await process.wait()


async def until(
    cluster: Cluster, kind: Kind, name: str, holds: Callable[[Manifest | None], bool], seconds: float = 40
) -> None:
    """Wait for a state of one object of the shop."""
    async with asyncio.timeout(seconds):
        while True:
            if holds(await cluster.get(kind, name, SHOP)):
                return
            await asyncio.sleep(0.1)


def phase(found: Manifest | None) -> str:
    """The phase that people read."""
    return str(((found or {}).get("status") or {}).get("phase"))


def finalizers(found: Manifest | None) -> list[str]:
    """What holds the object."""
    held: list[str] = (found or {}).get("metadata", {}).get("finalizers") or []
    return held


@pytest.fixture
async def cluster(operator: Operator) -> Cluster:
    """With all kinds that the controller watches."""
    for kind in (VM, VMI, VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT):
        await define(operator.cluster, kind)
    await served(operator.cluster, VM_BACKUP)
    return operator.cluster


def backup(name: str, **spec: str) -> Manifest:
    """A VMBackup of a VM that does not exist."""
    metadata = {"name": name, "namespace": SHOP}
    return {"metadata": metadata, "spec": {"vm": {"name": "db"}, "targetRef": TARGET_REF, **spec}}


async def test_finalizers_are_there_only_while_they_are_needed(cluster: Cluster, tmp_path: Path) -> None:
    """A run that ended holds nobody up, one that waits is held and let go when it is deleted; policies never are."""
    await cluster.create(BACKUP_TARGET, {"metadata": {"name": "own", "namespace": SHOP}, "spec": TARGET_SPEC})
    policy = {"schedule": "0 3 * * *", "targetRef": TARGET_REF}
    await cluster.create(BACKUP_POLICY, {"metadata": {"name": "daily", "namespace": SHOP}, "spec": policy})
    refused = {"kind": "BackupTarget", "name": "nothing"}
    await cluster.create(VM_BACKUP, backup("refused", targetRef=refused))  # type: ignore[arg-type]  # a nested field
    await cluster.create(VM_BACKUP, backup("waiting"))
    log = tmp_path / "controller.log"
    async with controller(tmp_path / "admin.kubeconfig", log) as process:
        await until(cluster, VM_BACKUP, "refused", lambda found: phase(found) == "Failed" and not finalizers(found))
        await until(cluster, VM_BACKUP, "waiting", lambda found: FINALIZER in finalizers(found))
        await until(cluster, BACKUP_POLICY, "daily", lambda found: phase(found) != "None")
        for kind, name in ((BACKUP_POLICY, "daily"), (BACKUP_TARGET, "own")):
            assert finalizers(await cluster.get(kind, name, SHOP)) == []
        for kind, name in ((BACKUP_POLICY, "daily"), (VM_BACKUP, "refused"), (VM_BACKUP, "waiting")):
            assert "annotations" not in (await cluster.read(kind, name, SHOP))["metadata"]
        await cluster.delete(VM_BACKUP, "waiting", SHOP)
        await until(cluster, VM_BACKUP, "waiting", lambda found: found is None)
    told = await asyncio.to_thread(log.read_text)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert "failed temporarily" not in told


async def test_metrics_tell_of_policies_and_of_the_controller_itself(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever asks at the port finds the policy's numbers, and that the controller lives."""
    policy = {"schedule": "0 3 * * *", "targetRef": TARGET_REF}
    await cluster.create(BACKUP_POLICY, {"metadata": {"name": "daily", "namespace": SHOP}, "spec": policy})
    (port,) = free_ports(1)
    wanted = {
        'safehold_policy_ready{kind="BackupPolicy",namespace="shop",policy="daily"} 0.0',
        # Seconds since 1970, in the notation of floats.
        "safehold_controller_heartbeat_timestamp_seconds 1.",
    }
    async with controller(tmp_path / "admin.kubeconfig", tmp_path / "controller.log", metrics_port=port):
        async with asyncio.timeout(180):
            while True:
                told = await asyncio.to_thread(_scrape, port)
                if all(sample in told for sample in wanted):
                    break
                await asyncio.sleep(0.2)


def _scrape(port: int) -> str:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False).data.decode()
    except urllib3.exceptions.HTTPError:  # it does not serve yet
        return ""


async def test_a_target_tells_of_its_transitions(cluster: Cluster, tmp_path: Path) -> None:
    """What a check found is an Event: once, however often the same is found again."""
    await cluster.create(BACKUP_TARGET, {"metadata": {"name": "own", "namespace": SHOP}, "spec": TARGET_SPEC})
    async with controller(tmp_path / "admin.kubeconfig", tmp_path / "controller.log"):
        await until(cluster, BACKUP_TARGET, "own", lambda found: phase(found) == "Unavailable")
        await cluster.merge_patch(BACKUP_TARGET, "own", SHOP, {"spec": {"accessMode": "ReadOnly"}})
        await until(cluster, BACKUP_TARGET, "own", _is_observed)
        told = [event for event in await cluster.list(EVENT, SHOP) if event["involvedObject"]["name"] == "own"]
    assert [(event["reason"], event["type"]) for event in told] == [("Unavailable", "Warning")]
    assert "Secret shop/key" in told[0]["message"]


def _is_observed(found: Manifest | None) -> bool:
    return bool(found) and (found or {})["status"].get("observedGeneration") == (found or {})["metadata"]["generation"]


async def test_a_signal_before_kopf_listens_ends_the_program(tmp_path: Path) -> None:
    """As a container's first process it would ignore it, and hold its pod up for the whole grace period."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kubeconfig = tmp_path / "silent.kubeconfig"
        kubeconfig.write_text(_KUBECONFIG.format(server=address))
        async with controller(kubeconfig, tmp_path / "controller.log") as process:
            await asyncio.wait_for(asyncio.to_thread(silent.accept), 30)
        assert process.returncode == 128 + signal.SIGTERM


async def test_what_happened_while_the_controller_was_down_is_caught_up(cluster: Cluster, tmp_path: Path) -> None:
    """A VMBackup that was deleted meanwhile goes at the next start; one that was created meanwhile is looked at."""
    await cluster.create(BACKUP_TARGET, {"metadata": {"name": "own", "namespace": SHOP}, "spec": TARGET_SPEC})
    await cluster.create(VM_BACKUP, backup("deleted-meanwhile"))
    kubeconfig, log = tmp_path / "admin.kubeconfig", tmp_path / "controller.log"
    async with controller(kubeconfig, log):
        await until(cluster, VM_BACKUP, "deleted-meanwhile", lambda found: FINALIZER in finalizers(found))
    await cluster.delete(VM_BACKUP, "deleted-meanwhile", SHOP)
    assert await cluster.get(VM_BACKUP, "deleted-meanwhile", SHOP) is not None
    await cluster.create(VM_BACKUP, backup("created-meanwhile"))
    async with controller(kubeconfig, log):
        await until(cluster, VM_BACKUP, "deleted-meanwhile", lambda found: found is None)
        await until(cluster, VM_BACKUP, "created-meanwhile", lambda found: phase(found) == "Pending")
