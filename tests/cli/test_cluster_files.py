"""`safehold files` with the name of a VMBackup: target, key and credentials come from the cluster."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
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
NOBODY = 65534
"""The user and the group that have no rights."""
INTERPRETERS = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
"""This one, which may lie in root's home, and the system's of the same version."""


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


@pytest.mark.timeout(900)
def test_whoever_has_no_rights_gets_files(shell: Shell, server: EmbeddedApiServer, place: Path) -> None:
    """As `nobody`, without a home and in a folder that cannot be written; what comes out is the user's own."""
    (shell.folder / "tree/sub").mkdir(parents=True)
    (shell.folder / "tree/sub/hello").write_text("hello\n")
    (shell.folder / "tree/sub").chmod(0o555)
    command = ("mke2fs", "-q", "-F", "-t", "ext4", "-d", "tree", "disk", "16M")
    subprocess.run(command, cwd=shell.folder, check=True, capture_output=True, timeout=60)
    asyncio.run(_lay_out(server, shell, str(shell.backup("disk")["restorePoint"]), {"vmUID": "db"}))
    shutil.copy(server.kubeconfig, place / "kubeconfig")
    (place / "kubeconfig").chmod(0o644)
    refused = _as_nobody(place, "get", "good", "/sub")
    assert refused.stderr.startswith("Error: Nothing can be written to .: found no right to do so"), refused.stderr
    assert (refused.returncode, refused.stdout) == (1, "")
    done = _as_nobody(place, "get", "good", "/sub", "--recursive", "--to", str(place / "own/got"))
    assert done.returncode == 0, done.stderr
    got = place / "own/got"
    assert (got / "hello").read_text() == "hello\n"
    assert {path.stat().st_uid for path in (got, got / "hello")} == {NOBODY}
    assert stat.S_IMODE(got.stat().st_mode) == 0o555
    assert sorted(path.name for path in (place / "own").iterdir()) == [f".guestfs-{NOBODY}", "got"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that `nobody` may enter, with one of its own in it, which has what libguestfs built for us before."""
    if os.geteuid() != 0 or shutil.which("guestfish") is None:
        pytest.skip("only root can be somebody else, and guestfish is needed: run `make test` as root")
    with tempfile.TemporaryDirectory(prefix="sh-", dir="/tmp") as name:
        place, own = Path(name), Path(name) / "own"
        place.chmod(0o755)
        own.mkdir()
        built = Path(os.environ.get("LIBGUESTFS_CACHEDIR", "/var/tmp")) / ".guestfs-0"  # noqa: S108 - libguestfs's
        if built.exists():
            command = ("cp", "-a", "--sparse=always", str(built), str(own / f".guestfs-{NOBODY}"))
            subprocess.run(command, check=True, timeout=300)
        subprocess.run(("chown", "-R", f"{NOBODY}:{NOBODY}", str(own)), check=True, timeout=60)
        if not any(_may_run(place, interpreter) for interpreter in INTERPRETERS):
            pytest.skip("nobody may not read this checkout, or Python, and so cannot run its programs")
        yield place


def _as_nobody(place: Path, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    cluster = ("--namespace", SHOP, "--kubeconfig", str(place / "kubeconfig"))
    interpreter = next(each for each in INTERPRETERS if _may_run(place, each))
    return _run_as_nobody(place, interpreter, "-m", "safehold", "files", verb, *arguments, *cluster)


def _may_run(place: Path, interpreter: str) -> bool:
    try:
        return _run_as_nobody(place, interpreter, "-c", "import safehold").returncode == 0
    except OSError:
        return False


def _run_as_nobody(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    own = str(place / "own")
    packages = [path for path in sys.path if path and not path.startswith(sys.base_prefix)]
    variables = {"TMPDIR": own, "LIBGUESTFS_CACHEDIR": own, "PYTHONPATH": os.pathsep.join(packages)}
    return subprocess.run(
        command,
        cwd=place,
        env={"PATH": os.defpath, **variables},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_point_of_another_vm_is_refused(shell: Shell, server: EmbeddedApiServer) -> None:
    """What the sealed manifest says of the owner counts, not what the object says of the point."""
    point = str(shell.backup("disk")["restorePoint"])
    asyncio.run(_lay_out(server, shell, point, {"vmUID": "another"}))
    assert "belongs to another VM" in _look(shell, server, "good", code=1)
