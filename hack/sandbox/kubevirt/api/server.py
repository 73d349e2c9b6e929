"""KubeVirt's own HTTPS endpoint: webhooks and subresources, on a port of loopback that the operating system chooses."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sandbox.certificates import serving_files
from sandbox.cluster.client import Cluster, Object
from sandbox.kubevirt.api.admission import (
    Refusal,
    check_machine,
    check_restore,
    check_snapshot,
    review_response,
)
from sandbox.kubevirt.api.subresources import Subresources
from sandbox.kubevirt.api.transfer_admission import check_backup, check_export
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.instancetypes.revisions import matched_of

SERVICE, NAMESPACE = "virt-api", "kubevirt"
VALIDATION_PATH = "/validate"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API server finds the webhooks and the aggregated API: the port, and the CA (PEM) to trust there."""

    port: int
    authority: str


@asynccontextmanager
async def serving(
    cluster: Cluster, caches: Caches, subresources: Subresources, folder: Path
) -> AsyncIterator[Endpoint]:
    """Serves for the time of the context, with certificates in `folder`."""
    files = serving_files(folder, SERVICE, [f"{SERVICE}.{NAMESPACE}.svc"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    app = web.Application()
    subresources.add_routes(app)

    async def validate(request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        refusal = await _check(cluster, asked["resource"]["resource"], asked, caches)
        return web.json_response(review_response(asked["uid"], refusal))

    app.router.add_post(VALIDATION_PATH, validate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield Endpoint(runner.addresses[0][1], files.authority)
    finally:
        await runner.cleanup()


async def _check(cluster: Cluster, resource: str, asked: Object, caches: Caches) -> Refusal | None:
    obj, old = asked["object"], asked.get("oldObject") or None
    match resource:
        case "virtualmachines":
            return check_machine(obj, old, await matched_of(cluster, obj))
        case "virtualmachinesnapshots":
            return check_snapshot(obj, old)
        case "virtualmachineexports":
            return check_export(obj, old)
        case "virtualmachinebackups":
            return check_backup(obj, old, caches.backups.list(obj["metadata"]["namespace"]), caches.configuration)
        case "virtualmachinebackuptrackers":
            return check_backup(obj, old, [], caches.configuration)
        case _:
            others = caches.restores.list(asked.get("namespace") or obj["metadata"]["namespace"])
            return check_restore(obj, old, others)
