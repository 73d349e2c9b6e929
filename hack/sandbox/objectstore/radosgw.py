"""Ceph's S3 gateway with a cluster of one monitor and one OSD: a second store that refuses what a real one refuses.

The data is in memory and ends with the store. Found out by trial with Ceph 16.2: the settings that a single OSD needs,
and that nothing else of Ceph, such as its manager, has to run.
"""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sandbox.objectstore.identities import Credentials
from sandbox.objectstore.processes import Server, running
from sandbox.objectstore.service import S3Service
from sandbox.ports import LOOPBACK, free_ports

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd", "ceph-common")
_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_COMMAND_SECONDS = 120
_STOP_SECONDS = 20
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v1:{host}:{mon_port}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
public addr = {host}
ms bind ipv6 = false
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/$name.log
[mon]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd class update on start = false
osd crush update on start = false
[client.rgw.a]
rgw frontends = beast endpoint={host}:{port} tcp_nodelay=1
"""


@contextmanager
def running_radosgw(folder: Path, port: int | None = None) -> Iterator[S3Service]:
    """A fresh store with its files in `folder`/ceph; stops at the end."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"Ceph lacks {', '.join(missing)}; install the Debian packages {' '.join(PACKAGES)}")
    folder = folder.resolve() / "ceph"
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("run", "mon", "osd"):
        (folder / part).mkdir(parents=True)
    cluster = _Cluster(folder, port)
    with ExitStack() as stack:
        cluster.start_storage(stack)
        cluster.start_gateway(stack)
        yield S3Service(cluster.endpoint_url, cluster.create_user())


class _Cluster:
    """The commands of one cluster, in the order in which they have to come."""

    def __init__(self, folder: Path, port: int | None) -> None:
        gateway_port, self._mon_port = free_ports(2)
        self._folder = folder
        self._fsid = str(uuid.uuid4())
        self._configuration = folder / "ceph.conf"
        self.endpoint_url = f"http://{LOOPBACK}:{port or gateway_port}"
        self._configuration.write_text(
            _CONFIGURATION.format(
                fsid=self._fsid, host=LOOPBACK, mon_port=self._mon_port, port=port or gateway_port, folder=folder
            )
        )

    def start_storage(self, stack: ExitStack) -> None:
        """Monitor, then OSD, each made before it runs."""
        monmap = str(self._folder / "monmap")
        address = f"[v1:{LOOPBACK}:{self._mon_port}]"
        _output(["monmaptool", "--create", "--clobber", "--fsid", self._fsid, "--addv", "a", address, monmap])
        monitor = self._command("ceph-mon", "-i", "a")
        _output([*monitor, "--mkfs", "--monmap", monmap])
        self._run(stack, "monitor", monitor)
        identity = str(uuid.uuid4())
        _output(self._command("ceph", "osd", "new", identity, "0"))
        # Left to itself, the OSD asks for its place before it knows the cluster, now and then, and ends: "wrong fsid".
        _output(self._command("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=sandbox"))
        storage = self._command("ceph-osd", "-i", "0")
        _output([*storage, "--mkfs", "--osd-uuid", identity])
        self._run(stack, "OSD", storage).wait_until(self._storage_is_up)

    def start_gateway(self, stack: ExitStack) -> None:
        """The gateway, which makes its pools before it answers."""
        self._run(stack, "gateway", self._command("radosgw", "-n", "client.rgw.a")).wait_until(self._answers)

    def create_user(self) -> Credentials:
        """A user whose keys Ceph makes up: they appear in no argument."""
        user = _output(self._command("radosgw-admin", "user", "create", "--uid=admin", "--display-name=admin"))
        keys = json.loads(user)["keys"][0]
        return Credentials(keys["access_key"], keys["secret_key"])

    def _storage_is_up(self) -> bool:
        state = json.loads(_output(self._command("ceph", "osd", "stat", "--format=json")))
        return int(state["num_up_osds"]) == 1

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint_url).close()  # noqa: S310 (an address of our own)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _run(self, stack: ExitStack, name: str, command: list[str]) -> Server:
        log = self._folder / f"{name}.out"
        return stack.enter_context(running(f"Ceph's {name}", [*command, "-f"], log, _STOP_SECONDS))

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self._configuration), *arguments]


def _output(command: list[str]) -> str:
    """What a command prints; RuntimeError with its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
