"""`safehold doctor --unprotected` against an API server: the VMs that no policy backs up."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gen_crds import CRDS
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import BACKUP_POLICY, CUSTOM_RESOURCE_DEFINITION, NAMESPACE, VM
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.kubevirt.api.definitions import DEFINITIONS as KUBEVIRT_KINDS

SHOP = "shop"
EXCLUDED = {"safehold.dev/exclude": "true"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """VMs `db` and `web`, one that opted out, and a policy for VMs with the label `tier=gold`, which `db` has."""
    with running_api_server(tmp_path) as server:
        async with SandboxCluster.connect(server.kubeconfig, "tests") as sandbox:
            await install_definitions(sandbox, [*KUBEVIRT_KINDS])
        async with Cluster.connect(server.kubeconfig) as cluster:
            for path in sorted(CRDS.glob("*.yaml")):
                await cluster.create(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))
            await cluster.create(NAMESPACE, {"metadata": {"name": SHOP}})
            for name, labels in (("db", {"tier": "gold"}), ("web", {}), ("scratch", EXCLUDED)):
                await cluster.create(VM, _machine(name, labels))
            spec = {
                "schedule": "@daily",
                "selector": {"matchLabels": {"tier": "gold"}},
                "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"},
            }
            await cluster.create(BACKUP_POLICY, {"metadata": {"name": "gold", "namespace": SHOP}, "spec": spec})
            yield cluster


def _machine(name: str, labels: dict[str, str]) -> Manifest:
    instance: Manifest = {"domain": {"devices": {}}}
    spec = {"runStrategy": "Halted", "template": {"spec": instance}}
    return {"metadata": {"name": name, "namespace": SHOP, "labels": labels}, "spec": spec}


def ask(folder: Path, *arguments: str, code: int) -> str:
    """What `safehold doctor --unprotected` prints."""
    command = [sys.executable, "-m", "safehold", "doctor", "--unprotected", *arguments]
    command += ["--kubeconfig", str(folder / "admin.kubeconfig")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_vms_without_a_policy_are_listed_with_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    """As a table and as JSON. The exit code is 1 until only VMs are left that opted out."""
    document: dict[str, Any] = json.loads(ask(tmp_path, "--output", "json", code=1))
    assert document["machines"] == 3
    found = {one["vm"]: (one["namespace"], one["reason"]) for one in document["unprotected"]}
    assert found == {"scratch": (SHOP, "OptedOut"), "web": (SHOP, "NoPolicy")}
    table = ask(tmp_path, code=1)
    assert "the selectors of no policy match it" in table
    assert "1 of 3 VMs are backed up by a policy." in table
    await cluster.merge_patch(VM, "web", SHOP, {"metadata": {"labels": {"tier": "gold"}}})
    document = json.loads(ask(tmp_path, "--output", "json", code=0))
    assert [one["vm"] for one in document["unprotected"]] == ["scratch"]
    await cluster.merge_patch(BACKUP_POLICY, "gold", SHOP, {"spec": {"suspend": True}})
    document = json.loads(ask(tmp_path, "--output", "json", code=1))
    reasons = {one["vm"]: one["reason"] for one in document["unprotected"]}
    assert reasons == {"db": "Suspended", "scratch": "OptedOut", "web": "Suspended"}


def test_a_look_does_not_go_with_a_removal(tmp_path: Path) -> None:
    """Wrong usage is told before a cluster is asked."""
    assert "does not go with --remove" in ask(tmp_path, "--remove", code=2)
