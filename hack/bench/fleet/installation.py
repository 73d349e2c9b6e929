"""An API server with the fleet in it, and Safehold's chart with a target that is ready to be checked."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.fleet.shape import TARGET
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLUSTER_BACKUP_TARGET, SECRET, SERVICE_ACCOUNT
from sandbox.apiserver.kubeconfig import write_kubeconfig
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS as STORAGE_DEFINITIONS
from sandbox.demo import chart
from sandbox.demo.kubectl import Kubectl
from sandbox.kubevirt.api.definitions import DEFINITIONS as KUBEVIRT_DEFINITIONS
from sandbox.program import Program

USER = f"system:serviceaccount:{chart.NAMESPACE}:{chart.RELEASE}"
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_TOKEN_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Installation:
    """The running API server. `kubeconfig` is that of Safehold's ServiceAccount, with the rights of the chart."""

    server: Program
    cluster: Cluster
    kubeconfig: Path
    audit: Path


@asynccontextmanager
async def running_installation(folder: Path) -> AsyncIterator[Installation]:
    """Over a state folder that is populated already."""
    state, kubeconfig = folder / "apiserver", folder / "safehold.kubeconfig"
    admin = state / "admin.kubeconfig"
    command = (sys.executable, "-m", "sandbox", "apiserver", "--state", str(state))
    server = await Program.start("the API server", command, folder / "apiserver.log")
    try:
        await server.wait_until(lambda: _serves(admin), _START_SECONDS)
        async with SandboxCluster.connect(admin) as sandbox:
            await install_definitions(sandbox, [*KUBEVIRT_DEFINITIONS, *STORAGE_DEFINITIONS])
        await chart.install(Kubectl(admin), {})
        async with Cluster.connect(admin) as cluster:
            await _install_target(cluster)
            await _write_kubeconfig(cluster, admin, kubeconfig)
            yield Installation(server, cluster, kubeconfig, state / "audit.jsonl")
    finally:
        await server.stop(_STOP_SECONDS)


async def _serves(kubeconfig: Path) -> bool:
    return await asyncio.to_thread(kubeconfig.exists)


async def _install_target(cluster: Cluster) -> None:
    secrets = {
        "credentials": {"accessKeyId": "fleet", "secretAccessKey": "fleet-bench"},
        "key": {"repository.key": RepositoryKey.generate().text()},
    }
    for name, values in secrets.items():
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await cluster.create(SECRET, {"metadata": {"name": name, "namespace": chart.NAMESPACE}, "data": data})
    spec = {
        "s3": {"bucket": "backups", "endpoint": "https://s3.example.org"},
        "credentialsSecretRef": {"name": "credentials"},
        "encryption": {"keySecretRef": {"name": "key"}},
        "allowedNamespaces": {"matchLabels": {"backup": "allowed"}},
    }
    await cluster.create(CLUSTER_BACKUP_TARGET, {"metadata": {"name": TARGET}, "spec": spec})


async def _write_kubeconfig(cluster: Cluster, admin: Path, path: Path) -> None:
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    where = SERVICE_ACCOUNT.path(chart.NAMESPACE, chart.RELEASE, "token")
    answer = await cluster.connection.json("POST", where, body=asked, doing="ask for Safehold's token")
    server = yaml.safe_load(await asyncio.to_thread(admin.read_text))["clusters"][0]["cluster"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    write_kubeconfig(
        path, server=server["server"], authority=authority, token=answer["status"]["token"], user=chart.RELEASE
    )
