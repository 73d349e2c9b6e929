"""`safehold files` with the name of a VMBackup: target, key and credentials come from the cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gen_crds import CRDS
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import BACKUP_TARGET, NAMESPACE, SECRET, VM_BACKUP
from sandbox.apiserver import EmbeddedApiServer, running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

SHOP = "shop"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedApiServer]:
    """An API server with Safehold's kinds."""

    async def install() -> None:
        definitions = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
        async with SandboxCluster.connect(running.kubeconfig, "tests") as cluster:
            await install_definitions(cluster, definitions)

    with running_api_server(tmp_path_factory.mktemp("server")) as running:
        asyncio.run(install())
        yield running


async def _lay_out(server: EmbeddedApiServer, shell: Shell, point: str, status: Manifest) -> None:
    """A target whose Secrets open the shell's repository, and a VMBackup `good` of its point."""
    admin = shell.store.admin
    s3 = {"bucket": "cli", "prefix": f"{shell.folder.name}/repository", "endpoint": shell.store.endpoint_url}
    async with Cluster.connect(server.kubeconfig) as cluster:
        await cluster.create(NAMESPACE, {"metadata": {"name": SHOP}})
        for name, values in (
            ("key", {"repository.key": (shell.folder / "key").read_text()}),
            ("credentials", {"accessKeyId": admin.access_key, "secretAccessKey": admin.secret_key}),
        ):
            await cluster.create(SECRET, {"metadata": {"name": name, "namespace": SHOP}, "stringData": values})
        spec = {
            "s3": s3,
            "keyDomain": "Target",
            "credentialsSecretRef": {"name": "credentials"},
            "encryption": {"keySecretRef": {"name": "key"}},
        }
        await cluster.create(BACKUP_TARGET, {"metadata": {"name": "s3", "namespace": SHOP}, "spec": spec})
        for name in ("good", "unfinished"):
            spec = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "s3"}}
            await cluster.create(VM_BACKUP, {"metadata": {"name": name, "namespace": SHOP}, "spec": spec})
        told = {"status": {"restorePoint": point} | status}
        await cluster.merge_patch(VM_BACKUP, "good", SHOP, told, subresource="status")


def _look(shell: Shell, server: EmbeddedApiServer, name: str, code: int = 0) -> Any:
    place = ("--namespace", SHOP, "--kubeconfig", str(server.kubeconfig), "--output", "json")
    done = shell("files", "ls", name, *place, code=code)
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_a_point_is_found_by_its_backup(shell: Shell, server: EmbeddedApiServer) -> None:
    """With nothing but a kubeconfig; no credentials of this shell are used, and none are left behind."""
    point = str(shell.backup("disk")["restorePoint"])
    asyncio.run(_lay_out(server, shell, point, {"vmUID": "db"}))
    shell.variables = {"TMPDIR": str(shell.folder)}
    before = sorted(shell.folder.iterdir())
    assert _look(shell, server, "good") == [{"volume": "root", "role": "Disk", "sizeBytes": 6_000_000}]
    assert "has no restore point" in _look(shell, server, "unfinished", code=1)
    assert "VMBackup shop/other does not exist" in _look(shell, server, "other", code=1)
    assert sorted(shell.folder.iterdir()) == before


def test_a_point_of_another_vm_is_refused(shell: Shell, server: EmbeddedApiServer) -> None:
    """What the sealed manifest says of the owner counts, not what the object says of the point."""
    point = str(shell.backup("disk")["restorePoint"])
    asyncio.run(_lay_out(server, shell, point, {"vmUID": "another"}))
    assert "belongs to another VM" in _look(shell, server, "good", code=1)
