"""One sandbox with disk-only guests, and the controller as a process over it, for all flow tests."""

import configparser
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from tests.flows.live_cluster import OPERATOR, LiveCluster, ready

from safehold.engine.keyfile import RepositoryKey
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLUSTER_BACKUP_TARGET, NAMESPACE, SERVICE_ACCOUNT, Kind
from sandbox.cluster.client import Cluster as SandboxCluster

CRDS = Path(__file__).parents[2] / "crds"
_START_SECONDS = 90


@dataclass
class Controller:
    """The controller as a process, which tests may kill."""

    kubeconfig: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it; a running one is left alone."""
        if self.process is not None and self.process.poll() is None:
            return
        settings = {
            "SAFEHOLD_KUBECONFIG": str(self.kubeconfig),
            "SAFEHOLD_OPERATOR_NAMESPACE": OPERATOR,
            "SAFEHOLD_ALLOW_LOCAL_ENDPOINTS": "true",
            "SAFEHOLD_METRICS_PORT": "0",
            "SAFEHOLD_LIVENESS_PORT": "0",
            "SAFEHOLD_POLL_SECONDS": "0.5",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "safehold", "controller"], env={**os.environ, **settings}, stdout=log, stderr=log
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; with SIGKILL in the middle of whatever it does."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)


@dataclass(frozen=True)
class Machinery:
    """The processes, and where they are reached."""

    state: Path
    kubeconfig: Path
    endpoint: str
    access: dict[str, str] = field(repr=False)
    key: bytes = field(repr=False)
    controller: Controller = field(repr=False)


@pytest.fixture(scope="session")
def machinery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machinery]:
    """Sandbox and controller; both end with the tests."""
    if os.geteuid() != 0:
        pytest.skip("worker Jobs run in containers of their own, for which the sandbox's kubelet needs root")
    folder = tmp_path_factory.mktemp("flows")
    command = [sys.executable, "-m", "sandbox", "up", "--no-qemu", "--state", str(folder / "sandbox")]
    with ExitStack() as stack:
        sandbox = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(sandbox.terminate)
        assert sandbox.stdout is not None
        welcome = sandbox.stdout.readline() + sandbox.stdout.readline()
        found = re.search(
            r"KUBECONFIG=(\S+)\s.*AWS_ENDPOINT_URL=(\S+) AWS_SHARED_CREDENTIALS_FILE=(\S+)", welcome, re.DOTALL
        )
        assert found is not None, welcome
        credentials = configparser.RawConfigParser()
        credentials.read(found[3])
        controller = Controller(Path(found[1]), folder / "controller.log")
        stack.callback(controller.end)
        yield Machinery(
            state=folder / "sandbox",
            kubeconfig=Path(found[1]),
            endpoint=found[2],
            access={
                "accessKeyId": credentials["default"]["aws_access_key_id"],
                "secretAccessKey": credentials["default"]["aws_secret_access_key"],
            },
            key=RepositoryKey.generate().text().encode(),
            controller=controller,
        )


@pytest.fixture
async def live(machinery: Machinery) -> AsyncIterator[LiveCluster]:
    """Clients of the sandbox, in which Safehold is installed and the ClusterBackupTarget `shared` is Ready."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster.connect(machinery.kubeconfig))
        sandbox = await stack.enter_async_context(SandboxCluster.connect(machinery.kubeconfig, "tests"))
        live = LiveCluster(
            cluster=cluster,
            sandbox=sandbox,
            volumes=machinery.state / "csi",
            endpoint=machinery.endpoint,
            access=machinery.access,
            key=machinery.key,
        )
        if await cluster.get(NAMESPACE, OPERATOR) is None:
            await _install(live)
        machinery.controller.start()
        target = await live.ended(CLUSTER_BACKUP_TARGET, "shared")
        assert ready(target)[0] == "True", ready(target)
        yield live


async def _install(live: LiveCluster) -> None:
    definition = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
    for path in sorted(CRDS.glob("*.yaml")):
        created = await live.cluster.create(definition, yaml.safe_load(path.read_text()))
        await live.until(
            definition, created["metadata"]["name"], None, lambda found: "Established" in json.dumps(found)
        )
    await live.cluster.create(NAMESPACE, {"metadata": {"name": OPERATOR}})
    await live.cluster.create(SERVICE_ACCOUNT, {"metadata": {"name": "safehold-worker", "namespace": OPERATOR}})
    await live.secret(OPERATOR, "credentials", **live.access)
    await live.secret(OPERATOR, "key", repository_key=live.key)
    await live.cluster.create(CLUSTER_BACKUP_TARGET, live.target("shared"))
