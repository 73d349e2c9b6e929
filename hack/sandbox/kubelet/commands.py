"""Commands in running containers, for the API server's exec subresource: streams over a WebSocket.

Each message begins with a byte that names its stream; the last one tells how the command ended, as a v1/Status. Written
after the remote command protocol of Kubernetes (v4, and v5 with its message that closes a stream), not after a
recording. What differs: a client that leaves takes its command along, and there are no terminals.
"""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader
from asyncio.subprocess import Process
from contextlib import suppress

import aiohttp
from aiohttp import web

from sandbox.kubelet.container import StartError, launch
from sandbox.kubelet.container_life import ContainerLife

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_CHUNK_BYTES = 32 << 10


async def run_command(request: web.Request, life: ContainerLife | None) -> web.StreamResponse:
    """Run the command of the request in the container, and carry its streams until it ends."""
    if life is None or life.running is None:
        return web.Response(status=404, text=f'container not found ("{request.match_info["container"]}")')
    if request.query.get("tty") == "1":
        return web.Response(status=400, text="the sandbox has no terminals: leave -t out")
    container = life.running
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
    await socket.prepare(request)
    command = request.query.getall("command", [])
    try:
        process = await launch(container.spec.running(command), container.folder, entered=container.first_process)
    except StartError as error:
        await _tell(socket, _failure(f"OCI runtime exec failed: {error}: unknown", "InternalError"))
        return socket
    try:
        code = await _carry(socket, process, given="input" in request.query)
    finally:
        _kill(process)
        await process.wait()
    await _tell(socket, _ending(command, code))
    return socket


async def _carry(socket: web.WebSocketResponse, process: Process, *, given: bool) -> int:
    """Carry the streams of a command; its exit code."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    if not given:
        process.stdin.close()
    incoming = asyncio.create_task(_feed(socket, process))
    incoming.add_done_callback(lambda _: _kill(process))
    try:
        await asyncio.gather(_send(socket, _STDOUT, process.stdout), _send(socket, _STDERR, process.stderr))
        await process.wait()
    finally:
        incoming.cancel()
    returned = process.returncode or 0
    return 128 - returned if returned < 0 else returned


async def _feed(socket: web.WebSocketResponse, process: Process) -> None:
    """Pass on what the client sends; returns when it has left."""
    assert process.stdin
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        stream, data = message.data[0], message.data[1:]
        if stream == _CLOSE and data == bytes([_STDIN]):
            process.stdin.close()
        elif stream == _STDIN and not process.stdin.is_closing():
            process.stdin.write(data)
            with suppress(ConnectionError):  # the command reads no more
                await process.stdin.drain()


async def _send(socket: web.WebSocketResponse, stream: int, source: StreamReader) -> None:
    while data := await source.read(_CHUNK_BYTES):
        with suppress(ConnectionError):  # the client has left; the command must not stand still for it
            await socket.send_bytes(bytes([stream]) + data)


async def _tell(socket: web.WebSocketResponse, status: dict[str, object]) -> None:
    with suppress(ConnectionError):
        await socket.send_bytes(bytes([_ERROR]) + json.dumps(status).encode())
        await socket.close()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


def _ending(command: list[str], code: int) -> dict[str, object]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = (
        f"command terminated with non-zero exit code: error executing command [{' '.join(command)}], exit code {code}"
    )
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return {**_failure(message, "NonZeroExitCode"), "details": details}


def _failure(message: str, reason: str) -> dict[str, object]:
    return {"metadata": {}, "status": "Failure", "message": message, "reason": reason}
