"""The kubelet's HTTP side: container logs for the API server's log subresource."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.kubelet import journal
from sandbox.kubelet.container_life import ContainerLife

Finder = Callable[[str, str, str], ContainerLife | None]
"""Finds a container by namespace, pod and container name."""

_FIND: web.AppKey[Finder] = web.AppKey("find")


@asynccontextmanager
async def serving_logs(address: str, find: Finder) -> AsyncIterator[int]:
    """Serves for the time of the context; gives the port, which the system chose."""
    app = web.Application()
    app[_FIND] = find
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _logs)
    app.router.add_get("/healthz", _healthy)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, 0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _logs(request: web.Request) -> web.StreamResponse:
    names = request.match_info
    life = request.app[_FIND](names["namespace"], names["pod"], names["container"])
    if life is None:
        return web.Response(status=404, text=f"container {names['container']} of pod {names['pod']} not found")
    wanted = request.query
    try:
        query = _query(wanted)
    except ValueError as error:
        return web.Response(status=400, text=str(error))
    path = life.log_file(previous=wanted.get("previous") == "true")
    if not await asyncio.to_thread(path.exists):
        reason = "previous terminated container" if wanted.get("previous") == "true" else "container"
        return web.Response(status=400, text=f"{reason} {names['container']} in pod {names['pod']} has no log yet")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    follow = wanted.get("follow") == "true" and life.running is not None
    ended = life.running.ended if follow and life.running else None
    async for data in journal.read(path, query, ended=ended):
        await response.write(data)
    return response


def _query(wanted: Mapping[str, str]) -> journal.LogQuery:
    """The parameters of a log request. Raises ValueError."""
    since = datetime.fromisoformat(wanted["sinceTime"]) if "sinceTime" in wanted else None
    if "sinceSeconds" in wanted:
        since = datetime.now(UTC) - timedelta(seconds=int(wanted["sinceSeconds"]))
    return journal.LogQuery(
        tail_lines=int(wanted["tailLines"]) if "tailLines" in wanted else None,
        since=since,
        timestamps=wanted.get("timestamps") == "true",
        limit_bytes=int(wanted["limitBytes"]) if "limitBytes" in wanted else None,
    )
