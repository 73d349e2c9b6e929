"""The kubelet's HTTP side, which the API server's subresources of pods lead to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from sandbox.kubelet.commands import run_command
from sandbox.kubelet.container_life import ContainerLife
from sandbox.kubelet.logs import read_logs

Finder = Callable[[str, str, str], ContainerLife | None]
"""Finds a container by namespace, pod and container name."""


@asynccontextmanager
async def serving(address: str, find: Finder) -> AsyncIterator[int]:
    """Serves for the time of the context; gives the port, which the system chose."""
    app = web.Application()
    for what, answer in (("containerLogs", read_logs), ("exec", run_command)):
        app.router.add_get(f"/{what}/{{namespace}}/{{pod}}/{{container}}", _about_container(find, answer))
    app.router.add_get("/healthz", _healthy)
    runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, 0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _about_container(
    find: Finder, answer: Callable[[web.Request, ContainerLife | None], Awaitable[web.StreamResponse]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        names = request.match_info
        return await answer(request, find(names["namespace"], names["pod"], names["container"]))

    return handle


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
