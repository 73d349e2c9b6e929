"""KubeVirt's own HTTP endpoint: webhooks and subresources, on a port of loopback that the operating system chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sandbox.cluster.client import Object
from sandbox.kubevirt.api.admission import (
    Refusal,
    check_machine,
    check_restore,
    check_snapshot,
    review_response,
)
from sandbox.kubevirt.api.subresources import Subresources
from sandbox.kubevirt.caches import Caches


@asynccontextmanager
async def serving(caches: Caches, subresources: Subresources) -> AsyncIterator[str]:
    """Serves for the time of the context; yields the base URL."""
    app = web.Application()
    subresources.add_routes(app)

    async def validate(request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        refusal = _check(asked["resource"]["resource"], asked, caches)
        return web.json_response(review_response(asked["uid"], refusal))

    app.router.add_post("/validate", validate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _check(resource: str, asked: Object, caches: Caches) -> Refusal | None:
    obj, old = asked["object"], asked.get("oldObject") or None
    match resource:
        case "virtualmachines":
            return check_machine(obj, old)
        case "virtualmachinesnapshots":
            return check_snapshot(obj, old)
        case _:
            others = caches.restores.list(asked.get("namespace") or obj["metadata"]["namespace"])
            return check_restore(obj, old, others)
