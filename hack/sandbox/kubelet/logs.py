"""Container logs, for the API server's log subresource."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.kubelet import journal
from sandbox.kubelet.container_life import ContainerLife


async def read_logs(request: web.Request, life: ContainerLife | None) -> web.StreamResponse:
    """Answer with the log of a container."""
    names = request.match_info
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
