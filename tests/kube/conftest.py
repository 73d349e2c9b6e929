"""An API server with KubeVirt's kinds and the operator's client of it, for the tests of this folder."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from safehold.kube.client import Cluster
from safehold.kube.kinds import NAMESPACE
from sandbox.apiserver import EmbeddedApiServer, ServerSettings, running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.kubevirt.api.definitions import DEFINITIONS

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kube_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedApiServer]:
    """One server for all; tests keep apart by namespaces. Namespaces end almost at once."""

    async def install(kubeconfig: Path) -> None:
        async with SandboxCluster.connect(kubeconfig, "tests") as cluster:
            await install_definitions(cluster, DEFINITIONS)

    settings = ServerSettings(namespace_delay_seconds=0.1)
    with running_api_server(tmp_path_factory.mktemp("kube"), settings=settings) as server:
        asyncio.run(install(server.kubeconfig))
        yield server


@pytest.fixture
async def cluster(kube_server: EmbeddedApiServer) -> AsyncIterator[Cluster]:
    """The client under test, as the administrator."""
    async with Cluster.connect(kube_server.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    name = f"shop-{next(_numbers)}"
    await cluster.create(NAMESPACE, {"metadata": {"name": name}})
    return name
