"""One command in a container of a pod, as `kubectl exec` runs it: output in bounds, and how it ended.

The API server speaks WebSocket here, with one byte before each message that says which stream it is of. The protocol is
that of Kubernetes' remotecommand package: https://kubernetes.io/docs/reference/using-api/websockets/ (v4, v5).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from safehold.errors import ClusterError
from safehold.kube.connection import Connection
from safehold.kube.kinds import POD

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""Newest first; v5 only adds that stdin can be closed, which is never opened here."""
_STDOUT, _STDERR, _ERROR = 1, 2, 3
OUTPUT_LIMIT_BYTES = 16 << 10
"""Kept of the end of stderr; what is before it, and all of stdout, is read and forgotten."""


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended: `exit_code` is None when it could not be run at all. `stderr` is the end of it."""

    exit_code: int | None
    stderr: str
    complaint: str = ""
    """What the node said about it."""


async def run_in_pod(
    connection: Connection, namespace: str, pod: str, container: str, command: Sequence[str]
) -> CommandEnd:
    """Run a command and wait for its end; the caller bounds the time, and leaving closes the connection.

    A refusal is the API's error; ClusterError when the connection ended before the command did.
    """
    query = [("container", container), ("stdout", "true"), ("stderr", "true")]
    query += [("command", word) for word in command]
    doing = f"run a command in Pod {namespace}/{pod}"
    stderr, verdict = bytearray(), b""
    async with connection.websocket(POD.path(namespace, pod, "exec"), query, PROTOCOLS, doing=doing) as socket:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            stream, data = message.data[0], message.data[1:]
            if stream == _STDERR:
                stderr += data
                del stderr[:-OUTPUT_LIMIT_BYTES]
            elif stream == _ERROR:
                verdict += data
    if not verdict:
        raise ClusterError(
            f"the connection broke before the end was told: {doing}", remedy="look into the pod whether it still runs"
        )
    return _end(verdict, stderr.decode(errors="replace"))


def _end(verdict: bytes, stderr: str) -> CommandEnd:
    """From the v1/Status that the node sends last."""
    try:
        status = json.loads(verdict)
    except ValueError:
        return CommandEnd(None, stderr, verdict.decode(errors="replace"))
    if status.get("status") == "Success":
        return CommandEnd(0, stderr)
    causes = (status.get("details") or {}).get("causes") or []
    code = next((cause.get("message") for cause in causes if cause.get("reason") == "ExitCode"), "")
    return CommandEnd(int(code) if str(code).isdecimal() else None, stderr, str(status.get("message") or ""))
