"""etcd and kube-apiserver from a folder: how they are found, started, reached and stopped.

The programs are stand-ins that note their arguments: what is tested is the handling of processes, not Kubernetes.
"""

import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.apiserver.binaries.assets import AssetsError, find_assets
from sandbox.apiserver.binaries.server import RealApiServer
from sandbox.cluster.client import Cluster
from sandbox.cluster.errors import ApiError
from sandbox.program import ProgramError

PAIR = ("etcd", "kube-apiserver")
STAND_IN = Path(__file__).with_name("stand_in.py").read_text()


def folder(path: Path, *programs: str) -> Path:
    """A folder with these programs."""
    path.mkdir(exist_ok=True)
    for name in programs:
        (path / name).write_text(f"#!{sys.executable}\n{STAND_IN}")
        (path / name).chmod(0o755)
    return path


def events(assets: Path, what: str) -> list[dict[str, Any]]:
    """What happened to the programs, in order."""
    lines = (assets / "events").read_text().splitlines() if (assets / "events").exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == what]


def alive(pid: int) -> bool:
    """A process that runs, and is not only waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_ended(pid: int) -> None:
    """Waits until the process has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(process):
        assert select.select([process], [], [], 60)[0], f"process {pid} still runs"


@asynccontextmanager
async def part(state: Path, assets: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m sandbox apiserver` with KUBEBUILDER_ASSETS, ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "apiserver", "--state", str(state)),
        env={**os.environ, "KUBEBUILDER_ASSETS": str(assets)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert f"KUBECONFIG={state}/admin.kubeconfig" in line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("present", [(), ("etcd",), ("kube-apiserver",)])
def test_missing_programs_are_named(tmp_path: Path, present: tuple[str, ...]) -> None:
    """The error names the folder and every program that is missing, and says what to do."""
    with pytest.raises(AssetsError) as caught:
        find_assets(folder(tmp_path, *present))
    message = str(caught.value)
    for program in set(PAIR) - set(present):
        assert f"no executable {program}" in message
    for program in present:
        assert f"no executable {program}" not in message
    assert str(tmp_path) in message
    assert "unset the variable" in message


def test_a_program_must_be_executable(tmp_path: Path) -> None:
    """A file that cannot be run counts as missing."""
    folder(tmp_path, *PAIR)
    (tmp_path / "etcd").chmod(0o644)
    with pytest.raises(AssetsError, match="no executable etcd;"):
        find_assets(tmp_path)


async def test_the_kubeconfig_reaches_the_started_pair(tmp_path: Path) -> None:
    """kube-apiserver gets etcd's address, a certificate that the kubeconfig trusts and a token that it presents."""
    assets = folder(tmp_path / "assets", *PAIR)
    async with RealApiServer(tmp_path / "state", find_assets(assets)) as server:
        etcd, apiserver = (event["flags"] for event in events(assets, "started"))
        assert apiserver["etcd-servers"] == etcd["listen-client-urls"] == etcd["advertise-client-urls"]
        assert apiserver["authorization-mode"] == "RBAC"
        assert (tmp_path / "state" / "tokens.csv").stat().st_mode & 0o077 == 0
        async with Cluster.connect(server.kubeconfig) as cluster:
            assert await cluster.request("GET", "/version") == {}
        stranger = tmp_path / "stranger"
        token = (tmp_path / "state" / "admin.token").read_text()
        stranger.write_text(server.kubeconfig.read_text().replace(token, "guessed"))
        async with Cluster.connect(stranger) as cluster:
            with pytest.raises(ApiError, match="401"):
                await cluster.request("GET", "/version")


async def test_programs_stop_in_reverse(tmp_path: Path) -> None:
    """kube-apiserver is asked to end before its etcd, and nothing is left running."""
    assets = folder(tmp_path / "assets", *PAIR)
    async with RealApiServer(tmp_path / "state", find_assets(assets)):
        pids = [event["pid"] for event in events(assets, "started")]
        assert all(map(alive, pids))
    assert [event["program"] for event in events(assets, "stopped")] == ["kube-apiserver", "etcd"]
    assert not any(map(alive, pids))


async def test_a_restart_keeps_address_and_token(tmp_path: Path) -> None:
    """Kubeconfigs outlive a restart: same port, same CA, same token, same key of service accounts."""
    assets = folder(tmp_path / "assets", *PAIR)
    kubeconfigs, keys = [], []
    for _ in range(2):
        async with RealApiServer(tmp_path / "state", find_assets(assets)) as server:
            kubeconfigs.append(server.kubeconfig.read_text())
            keys.append((tmp_path / "state" / "service-accounts.key").read_text())
    assert kubeconfigs[0] == kubeconfigs[1]
    assert keys[0] == keys[1]


async def test_a_controller_manager_beside_them_joins(tmp_path: Path) -> None:
    """It runs as the administrator, signs with the API server's key, and leaves pods and volumes to the other parts."""
    assets = folder(tmp_path / "assets", *PAIR, "kube-controller-manager")
    async with RealApiServer(tmp_path / "state", find_assets(assets)) as server:
        _, apiserver, manager = (event["flags"] for event in events(assets, "started"))
        assert manager["kubeconfig"] == str(server.kubeconfig)
        assert manager["service-account-private-key-file"] == apiserver["service-account-key-file"]
        controllers = manager["controllers"].split(",")
        assert {"namespace-controller", "garbage-collector-controller"} <= set(controllers)
        assert not {"*", "job-controller", "persistentvolume-binder-controller"} & set(controllers)


async def test_a_program_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    """The error names the program, its exit code and the end of its log; what was started before is stopped."""
    assets = folder(tmp_path / "assets", *PAIR)
    (assets / "broken").mkdir()
    with pytest.raises(ProgramError, match=r"kube-apiserver has ended with exit code 1(.|\n)*the stand-in is broken"):
        async with RealApiServer(tmp_path / "state", find_assets(assets)):
            pytest.fail("a broken server is no server")
    assert [event["program"] for event in events(assets, "stopped")] == ["etcd"]


async def test_a_program_that_ends_ends_the_part(tmp_path: Path) -> None:
    """The part does not go on with half a server: it stops the rest and fails, naming what ended."""
    assets = folder(tmp_path / "assets", *PAIR)
    async with part(tmp_path / "state", assets) as process:
        etcd, apiserver = (event["pid"] for event in events(assets, "started"))
        os.kill(etcd, signal.SIGKILL)
        _, error = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert "etcd has ended" in error.decode()
        assert not alive(apiserver)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_programs_end_with_the_part(tmp_path: Path, number: signal.Signals) -> None:
    """However the part ends, its programs do not outlive it."""
    assets = folder(tmp_path / "assets", *PAIR)
    async with part(tmp_path / "state", assets) as process:
        process.send_signal(number)
        _, error = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == (0 if number == signal.SIGTERM else -number)
        assert "no namespace ends" in error.decode()
        for event in events(assets, "started"):
            await asyncio.to_thread(wait_until_ended, event["pid"])


async def test_wrong_use_is_told(tmp_path: Path) -> None:
    """A folder without programs and an option of the embedded server are refused in one sentence."""
    for arguments, code, words in (
        (["--assets", str(tmp_path)], 1, "no executable etcd and no executable kube-apiserver"),
        (["--assets", str(tmp_path), "--namespace-delay", "1"], 2, "--namespace-delay is of the embedded server"),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", "apiserver", "--state", str(tmp_path / "state"), *arguments),
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code
        assert words in error.decode()
