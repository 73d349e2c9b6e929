"""All parts of the sandbox together."""

import os
import signal
from pathlib import Path

import pytest

from sandbox.cluster.client import Cluster
from sandbox.cluster.kinds import CONFIG_MAP, NODE, VIRTUAL_MACHINE, VOLUME_SNAPSHOT_CLASS
from sandbox.program import ProgramError
from sandbox.up import Sandbox, SandboxError


async def test_parts_serve_and_keep_their_data(tmp_path: Path) -> None:
    """Every part serves once the sandbox is entered, and what was stored is there after a restart."""
    note = {"metadata": {"name": "kept", "namespace": "default"}, "data": {"a": "b"}}
    async with Sandbox(tmp_path, no_qemu=True) as sandbox, Cluster.connect(sandbox.kubeconfig) as cluster:
        assert sandbox.s3_endpoint.startswith("http")
        assert sandbox.s3_credentials.stat().st_mode & 0o777 == 0o600
        assert await cluster.list(VOLUME_SNAPSHOT_CLASS)
        assert await cluster.list(VIRTUAL_MACHINE) == []
        assert bool(await cluster.get(NODE, "sandbox")) == (os.geteuid() == 0)
        await cluster.create(CONFIG_MAP, note)
    async with Sandbox(tmp_path, no_qemu=True) as sandbox, Cluster.connect(sandbox.kubeconfig) as cluster:
        kept = await cluster.get(CONFIG_MAP, "kept", "default")
        assert kept is not None
        assert kept["data"] == {"a": "b"}


async def test_a_part_that_dies_is_told(tmp_path: Path) -> None:
    """When a part ends by itself, waiting for the sandbox fails with the part's name and log."""
    async with Sandbox(tmp_path, no_qemu=True) as sandbox:
        os.kill(sandbox.pid_of("csi"), signal.SIGKILL)
        with pytest.raises(ProgramError, match=r"(?s)part 'csi' has ended; see .*csi\.log"):
            await sandbox.wait()


async def test_a_part_that_cannot_start_is_told(tmp_path: Path) -> None:
    """A wrong option ends the start with what the part said, and leaves nothing running."""
    with pytest.raises(ProgramError, match=r"(?s)part 'csi' did not start.*--resync-seconds"):
        async with Sandbox(tmp_path, no_qemu=True, resync_seconds=-1):
            pass


async def test_a_state_folder_serves_one_sandbox(tmp_path: Path) -> None:
    """A second start over the same folder is refused before it touches anything; the first goes on."""
    async with Sandbox(tmp_path, no_qemu=True) as sandbox, Cluster.connect(sandbox.kubeconfig) as cluster:
        with pytest.raises(SandboxError, match="another sandbox runs over"):
            async with Sandbox(tmp_path, no_qemu=True):
                pass
        assert await cluster.list(VOLUME_SNAPSHOT_CLASS)
