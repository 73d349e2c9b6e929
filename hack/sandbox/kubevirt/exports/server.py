"""The export server: KubeVirt's virt-exportserver, with a port of loopback instead of a pod's address.

The real one speaks HTTP/2 and answers several ranges at once; this one speaks HTTP/1.1 and answers one range.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.certificates import ServingFiles
from sandbox.guest.errors import GuestError
from sandbox.guest.nbd import ALLOCATION, NbdClient
from sandbox.kubevirt.exports import contents, manifests
from sandbox.kubevirt.exports.extent_map import extent_page
from sandbox.kubevirt.machines.disks import DISK_IMAGE

_READ_BYTES = 256 << 10
_PAGE_SIZE = 512


class PulledPoint(Protocol):
    """A point in time that is being pulled: QEMU's NBD socket, and the context of the changes (None: full)."""

    @property
    def socket(self) -> Path:
        """QEMU's NBD server."""

    @property
    def delta_context(self) -> str | None:
        """The NBD meta context of the changed blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one server serves. `volumes` are paths by claim, a file or a folder; `disks` are the claims with a disk.

    `manifests` is the data of the ConfigMap, `originals` the claim served by the name of its original. `point` gives
    the backup that is being pulled, or None while there is none.
    """

    export: str
    token: str
    volumes: dict[str, Path] = field(default_factory=dict)
    disks: frozenset[str] = frozenset()
    manifests: dict[str, str] | None = None
    originals: dict[str, str] = field(default_factory=dict)
    point: Callable[[], PulledPoint | None] = lambda: None


class ExportServer:
    """One listening server; `base` is its URL."""

    def __init__(self, served: Served) -> None:
        self.base = ""
        self._served = served
        self._runner: web.AppRunner | None = None

    async def start(self, files: ServingFiles) -> None:
        """Listens on a free port of loopback."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files.certificate, files.key)
        app = web.Application(middlewares=[_as_the_real_one(self._served.token)])
        app.router.add_get("/exportready", _ready)
        app.router.add_route("*", f"/volumes/{{claim}}/{DISK_IMAGE}", self._raw)
        app.router.add_route("*", f"/volumes/{{claim}}/{DISK_IMAGE}.gz", self._gzipped)
        app.router.add_route("*", "/volumes/{claim}/disk.tar.gz", self._archived)
        app.router.add_get("/volumes/{claim}/dir", _to_folder)
        app.router.add_get("/volumes/{claim}/dir/{path:.*}", self._browsed)
        app.router.add_get("/internal/manifests/all", self._all_manifests)
        app.router.add_get("/internal/manifests/secret", self._header_secret)
        app.router.add_get("/exports/{volume}/map", self._map, allow_head=False)
        app.router.add_get("/exports/{volume}/data", self._data, allow_head=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        self.base = f"https://{host}:{port}"

    async def stop(self) -> None:
        """Ends all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        return await contents.raw(request, self._image(request))

    async def _gzipped(self, request: web.Request) -> web.StreamResponse:
        return await contents.gzipped(request, self._image(request))

    async def _archived(self, request: web.Request) -> web.StreamResponse:
        return await contents.archived(request, self._folder(request))

    async def _browsed(self, request: web.Request) -> web.StreamResponse:
        return await contents.browsed(request, self._folder(request), request.match_info["path"])

    async def _all_manifests(self, request: web.Request) -> web.Response:
        if self._served.manifests is None:
            raise web.HTTPNotFound
        items = manifests.all_manifests(self._served.manifests, self.base, self._served.originals)
        as_yaml = request.headers.get("Accept") == "application/yaml"
        return web.Response(text=manifests.as_yaml(items) if as_yaml else manifests.as_json(items))

    async def _header_secret(self, request: web.Request) -> web.Response:
        items = [manifests.header_secret(self._served.export, self._served.token)]
        as_json = request.headers.get("Accept") == "application/json"
        return web.Response(text=manifests.as_json(items) if as_json else manifests.as_yaml(items))

    async def _map(self, request: web.Request) -> web.StreamResponse:
        offset, length, page_size = (_number(request, *asked) for asked in _MAP_PARAMETERS)
        if page_size == 0:
            raise web.HTTPBadRequest(text="page_size must be greater than 0")
        point = self._point()
        delta = point.delta_context
        contexts = [ALLOCATION, *([delta] if delta else [])]
        try:
            async with NbdClient.connect(point.socket, request.match_info["volume"], contexts) as client:
                if offset >= client.size_bytes:
                    raise web.HTTPInternalServerError(text=f"offset {offset} is beyond the end {client.size_bytes}")
                end = _end(offset, length, client.size_bytes)
                return web.json_response(await extent_page(client, delta, offset, end, page_size))
        except GuestError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error

    async def _data(self, request: web.Request) -> web.StreamResponse:
        offset, length = (_number(request, *asked) for asked in _MAP_PARAMETERS[:2])
        point = self._point()
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        try:
            async with NbdClient.connect(point.socket, request.match_info["volume"]) as client:
                end = _end(offset, length, client.size_bytes)
                await response.prepare(request)
                for start in range(offset, end, _READ_BYTES):
                    await response.write(await client.read(start, min(_READ_BYTES, end - start)))
        except GuestError as error:
            if not response.prepared:
                raise web.HTTPServiceUnavailable(text=str(error)) from error
            # Too late for another status: the body ends without its last chunk.
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write_eof()
        return response

    def _point(self) -> PulledPoint:
        point = self._served.point()
        if point is None:
            raise web.HTTPServiceUnavailable(text="the guest is not connected")
        return point

    def _image(self, request: web.Request) -> Path:
        claim = request.match_info["claim"]
        if claim not in self._served.disks:
            raise web.HTTPNotFound
        path = self._served.volumes[claim]
        return path if path.is_file() else path / DISK_IMAGE

    def _folder(self, request: web.Request) -> Path:
        claim = request.match_info["claim"]
        if claim not in self._served.volumes or claim in self._served.disks:
            raise web.HTTPNotFound
        return self._served.volumes[claim]


_MAP_PARAMETERS = (("offset", 0), ("length", 0), ("page_size", _PAGE_SIZE))


def _as_the_real_one(token: str) -> Middleware:
    """Asks for the token everywhere but on unknown paths and the readiness probe; 404 in Go's words."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        known = request.match_info.http_exception is None
        if known and request.path != "/exportready" and not _authorized(request, token):
            return web.Response(status=401)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"})

    return answer


def _authorized(request: web.Request, token: str) -> bool:
    given = request.headers.get(manifests.TOKEN_HEADER) or request.query.get(manifests.TOKEN_HEADER) or ""
    return hmac.compare_digest(given.encode(), token.encode())


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise web.HTTPBadRequest(text=f"{name} must be a decimal number of bytes")
    return int(text)


def _end(offset: int, length: int, size_bytes: int) -> int:
    """No length, or one that is too long, means up to the end."""
    return size_bytes if length == 0 else min(size_bytes, offset + length)


async def _ready(_: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _to_folder(request: web.Request) -> web.StreamResponse:
    raise web.HTTPMovedPermanently(f"{request.path}/")
