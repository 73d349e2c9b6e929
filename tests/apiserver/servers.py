"""Other servers, which the API server calls: webhooks, aggregated APIs, kubelets."""

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from sandbox.certificates import ServingFiles

from .conftest import Api

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def bundle(files: ServingFiles) -> str:
    """The CA as a caBundle."""
    return base64.b64encode(files.authority.encode()).decode()


@asynccontextmanager
async def listening(reply: Reply, files: ServingFiles | None = None) -> AsyncIterator[tuple[str, int]]:
    """Host and port of a server that answers every request: over TLS with `files`, else in plain HTTP."""
    tls = None
    if files:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files.certificate, files.key)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", reply)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][:2]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def service(api: Api) -> AsyncIterator[None]:
    """The Service default/sub, which leads to this machine."""
    spec = {"type": "ExternalName", "externalName": "localhost"}
    await api.create("/api/v1/namespaces/default/services", {"metadata": {"name": "sub"}, "spec": spec})
    try:
        yield
    finally:
        await api.send("DELETE", "/api/v1/namespaces/default/services/sub")
