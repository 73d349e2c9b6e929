"""kubectl, a namespace for each test, and a definition to try it on."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.apiserver import EmbeddedApiServer

KUBECTL = Path(sys.executable).with_name("kubectl")
WAIT_SECONDS = 20
BOXES = yaml.safe_load(Path(__file__).with_name("boxes.yaml").read_text())


class Kubectl:
    """kubectl in one namespace of the server."""

    def __init__(self, kubeconfig: Path, namespace: str, home: Path) -> None:
        self._command = [str(KUBECTL), "--kubeconfig", str(kubeconfig), "--namespace", namespace]
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        self.namespace = namespace

    def run(self, *args: str, given: object = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl with an object on stdin; the outcome, whatever it is."""
        text = None if given is None else json.dumps(given)
        return subprocess.run(
            [*self._command, *args],
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *args: str, given: object = None) -> str:
        """What kubectl prints; the test fails if it does."""
        done = self.run(*args, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done.stdout.strip()

    def refused(self, *args: str, given: object = None) -> str:
        """What kubectl complains about; the test fails if it does not."""
        done = self.run(*args, given=given)
        assert done.returncode != 0, f"kubectl {' '.join(args)} should fail: {done.stdout}"
        return done.stderr.strip()

    def json(self, *args: str) -> Any:
        """The object that kubectl prints."""
        return json.loads(self(*args, "-o", "json"))

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A kubectl that runs beside the test and ends with the block at the latest."""
        command = [*self._command, *args]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

    @staticmethod
    def box(name: str = "b", **spec: Any) -> dict[str, Any]:
        """A box of size 1, to be sent."""
        return {"apiVersion": "kubectl.test/v1", "kind": "Box", "metadata": {"name": name}, "spec": {"size": 1, **spec}}

    def create_box(self, name: str = "b", **spec: Any) -> None:
        """A box of size 1 in the namespace."""
        self("create", "-f", "-", given=self.box(name, **spec))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kubectl caches discovery."""
    return Path(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session", autouse=True)
def boxes(api_server: EmbeddedApiServer, home: Path) -> dict[str, Any]:
    """The definition of boxes, which most tests use; established."""
    cluster = Kubectl(api_server.kubeconfig, "default", home)
    cluster("apply", "-f", "-", given=BOXES)
    cluster("wait", "--for=condition=Established", "crd/boxes.kubectl.test", "--timeout=20s")
    return dict(BOXES)


@pytest.fixture
def kubectl(api_server: EmbeddedApiServer, home: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Kubectl in a namespace of the test's own."""
    title = request.node.originalname.removeprefix("test_").replace("_", "-")
    namespace = f"{title[:50]}-{time.monotonic_ns() % 10**8}"
    cluster = Kubectl(api_server.kubeconfig, namespace, home)
    cluster("create", "namespace", namespace)
    yield cluster
    cluster("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a state; the test fails if it does not come."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < end, "the state did not come"
            time.sleep(0.05)

    return wait
