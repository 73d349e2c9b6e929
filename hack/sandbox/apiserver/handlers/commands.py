"""The exec subresource of pods: a WebSocket of the client's, carried to the kubelet of the pod's node and back.

Written after the documentation of the remote command protocol and kubectl's behaviour, not after a recording. Of the
real server's two ways only WebSockets are spoken; kubectl falls back to the other one (SPDY) only when refused.
"""

import asyncio
from collections.abc import Iterator

import aiohttp
from aiohttp import web
from multidict import MultiDict

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.handlers.lists import find
from sandbox.apiserver.handlers.pods import container_of, kubelet_url

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


async def execute(call: Call) -> web.StreamResponse:
    """Run a command in a container; the messages of both sides pass unchanged."""
    # Since Kubernetes 1.35 a GET that runs a command needs the right to create as well.
    call.plane.authorizer.require(call.user, call.info.action(verb="create"))
    resource, _ = call.target()
    pod = find(call, resource).document
    if not call.http.query.getall("command", []):
        raise statuses.bad_request("you must specify at least one command for the container")
    container = container_of(pod, call.http.query.get("container", ""))
    if call.http.headers.get("Upgrade", "").lower() != "websocket":
        raise statuses.bad_request("Upgrade request required")
    url = kubelet_url(call, pod) + f"/exec/{call.info.namespace}/{call.info.name}/{container}"
    parameters = MultiDict(_for_kubelet(call))
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, params=parameters, protocols=_offered(call), ssl=False, max_msg_size=0) as upstream,
        ):
            return await _carry(call, upstream)
    except aiohttp.WSServerHandshakeError as refused:
        raise statuses.internal(f"unable to upgrade connection: {refused.message}") from refused
    except aiohttp.ClientConnectionError as failure:
        raise statuses.internal(f'error dialing backend: Get "{url}": {failure}') from failure


def _for_kubelet(call: Call) -> Iterator[tuple[str, str]]:
    """The kubelet's names of the streams are others than the API's."""
    query = call.http.query
    yield from (("command", word) for word in query.getall("command"))
    streams = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
    yield from ((name, "1") for given, name in streams.items() if query.get(given) in ("1", "true"))


def _offered(call: Call) -> list[str]:
    asked = call.http.headers.get("Sec-WebSocket-Protocol", "")
    offered = [name for name in (part.strip() for part in asked.split(",")) if name in PROTOCOLS]
    if not offered:
        raise statuses.bad_request(f"unable to upgrade: unknown protocols {asked!r}, expected {', '.join(PROTOCOLS)}")
    return offered


async def _carry(call: Call, upstream: aiohttp.ClientWebSocketResponse) -> web.StreamResponse:
    """Until one side closes; then the other is closed as well."""
    downstream = web.WebSocketResponse(protocols=[upstream.protocol or ""], max_msg_size=0)
    await downstream.prepare(call.http)

    async def upwards() -> None:
        async for message in downstream:
            if message.type is aiohttp.WSMsgType.BINARY:
                await upstream.send_bytes(message.data)
        await upstream.close()

    carrying = asyncio.create_task(upwards())
    try:
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.BINARY:
                await downstream.send_bytes(message.data)
        await downstream.close()
    except ConnectionError:  # the client has left; the kubelet's side is closed with its context
        return downstream
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
    return downstream
