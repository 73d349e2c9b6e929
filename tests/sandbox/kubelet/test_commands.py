"""Commands in running containers, as the real kubectl asks for them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.cluster.client import Object

if TYPE_CHECKING:
    from tests.sandbox.kubelet.conftest import Node

KUBECTL = Path(sys.executable).with_name("kubectl")


async def kubectl(node: Node, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a kubectl."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        f"--kubeconfig={node.settings.folder.parent / 'api' / 'admin.kubeconfig'}",
        "--namespace=a",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(node.settings.folder.parent), "PATH": "/usr/bin:/bin"},
    )
    out, err = await process.communicate(given)
    return process.returncode or 0, out.decode(), err.decode()


async def running(node: Node, **container: Object) -> None:
    """A pod `p` that runs until it is told to stop."""
    await node.pod("p", "trap exit TERM; echo it > /tmp/mine; while :; do sleep 0.1; done", **container)
    await node.phase("p", "Running")


async def test_a_command_runs_inside_the_container(node: Node) -> None:
    """It sees the container's processes, files and environment, and runs as its user without further rights."""
    security: Object = {"runAsUser": 107, "runAsGroup": 108, "capabilities": {"drop": ["ALL"]}}
    await running(node, env=[{"name": "COLOUR", "value": "blue"}], securityContext=security)  # type: ignore[arg-type]  # a list
    script = "id -u; cat /tmp/mine; echo $COLOUR; tr '\\0' ' ' < /proc/1/cmdline; echo; grep CapBnd /proc/self/status"
    code, out, err = await kubectl(node, "exec", "p", "--", "sh", "-c", script)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == ["107", "it", "blue"]
    assert lines[3].startswith("sh -c trap exit TERM")
    assert lines[4].split()[1] == "0" * 16


async def test_streams_and_exit_code(node: Node) -> None:
    """Standard input, output and error are three streams, and the exit code is the command's."""
    await running(node)
    script = "tr a-z A-Z; echo trouble >&2; exit 7"
    code, out, err = await kubectl(node, "exec", "-i", "p", "--", "sh", "-c", script, given=b"loud\n" * 20_000)
    assert (code, out) == (7, "LOUD\n" * 20_000)
    assert err.splitlines() == ["trouble", "command terminated with exit code 7"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["p", "--", "nothing-like-it"], 'exec: "nothing-like-it": executable file not found in $PATH'),
        (["p", "-c", "other", "--", "true"], "container other is not valid for pod p"),
        (["nobody", "--", "true"], 'pods "nobody" not found'),
    ],
)
async def test_what_cannot_run_is_told(node: Node, arguments: list[str], complaint: str) -> None:
    """A command, container or pod that is not there is named."""
    await running(node)
    code, _, err = await kubectl(node, "exec", *arguments)
    assert code != 0
    assert complaint in err


async def test_the_container_goes_on(node: Node) -> None:
    """A command that ends, well or badly, leaves the container and its log alone."""
    await running(node)
    await kubectl(node, "exec", "p", "--", "sh", "-c", "echo secret; exit 1")
    await kubectl(node, "delete", "pod", "p", "--wait=false")
    assert "secret" not in await node.log("p")


async def test_a_command_needs_the_right_to_create_as_well(node: Node) -> None:
    """A WebSocket begins with a GET, and the right to that alone runs nothing, as since Kubernetes 1.35."""
    await running(node)
    await kubectl(node, "create", "role", "looker", "--verb=get", "--resource=pods,pods/exec")
    await kubectl(node, "create", "rolebinding", "looker", "--role=looker", "--user=anna")
    code, _, err = await kubectl(node, "--as=anna", "exec", "p", "--", "true")
    assert code != 0
    assert 'User "anna" cannot create resource "pods/exec"' in err
    await kubectl(node, "create", "role", "runner", "--verb=create", "--resource=pods/exec")
    await kubectl(node, "create", "rolebinding", "runner", "--role=runner", "--user=anna")
    assert await kubectl(node, "--as=anna", "exec", "p", "--", "true") == (0, "", "")
