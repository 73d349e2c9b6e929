"""The embedded API server: in the running event loop, or in a thread of its own for synchronous callers."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from aiohttp import web

from sandbox.apiserver.aggregation import Aggregator
from sandbox.apiserver.application import Application
from sandbox.apiserver.audit import AuditLog
from sandbox.apiserver.bootstrap import NamespaceFurnisher, bootstrap
from sandbox.apiserver.control_plane import ControlPlane, ServerSettings
from sandbox.apiserver.controllers.definitions import DefinitionController
from sandbox.apiserver.controllers.garbage import GarbageCollector
from sandbox.apiserver.controllers.loop import ControllerLoop
from sandbox.apiserver.controllers.namespaces import NamespaceController
from sandbox.apiserver.controllers.quotas import QuotaController
from sandbox.apiserver.kubeconfig import previous_port, write_kubeconfig
from sandbox.certificates import serving_files
from sandbox.ports import LOOPBACK

_START_SECONDS = 60
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
"""What pods may call the server."""
_SHUTDOWN_SECONDS = 2.0
"""What a request that is being answered gets to end when the server stops."""


class EmbeddedApiServer:
    """A Kubernetes API server on localhost. `async with` starts and stops it; state outlives it in its directory."""

    def __init__(self, state: Path, *, port: int = 0, settings: ServerSettings | None = None) -> None:
        self._state = state
        self._port = port
        self._settings = settings or ServerSettings()
        self.kubeconfig = state / "admin.kubeconfig"
        self.url = ""
        self.token = ""
        self.plane: ControlPlane | None = None
        self._runner: web.AppRunner | None = None
        self._audit: AuditLog | None = None
        self._aggregator: Aggregator | None = None
        self._loops: list[ControllerLoop] = []

    async def __aenter__(self) -> Self:
        self._state.mkdir(parents=True, exist_ok=True)
        files = serving_files(self._state / "pki", "apiserver", SERVICE_NAMES)
        plane = self.plane = ControlPlane(self._state, self._settings)
        self._audit = AuditLog(self._state / "audit.jsonl")
        await bootstrap(plane)
        furnisher = NamespaceFurnisher(plane, files.authority)
        await furnisher.run()
        self._aggregator = Aggregator(plane)
        controllers = (
            furnisher,
            GarbageCollector(plane),
            NamespaceController(plane),
            DefinitionController(plane),
            QuotaController(plane),
        )
        # Probing other servers may take seconds, so it has a loop of its own.
        self._loops = [ControllerLoop(plane.store, controllers), ControllerLoop(plane.store, [self._aggregator])]
        for loop in self._loops:
            loop.start()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.certificate, files.key)
        application = Application(plane, self._aggregator, self._audit).web_application()
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        listener = self._listen()
        await web.SockSite(self._runner, listener, ssl_context=context).start()
        self.url = f"https://{LOOPBACK}:{listener.getsockname()[1]}"
        self.token = plane.admin_token
        write_kubeconfig(
            self.kubeconfig, server=self.url, authority=files.authority, token=self.token, user="kubernetes-admin"
        )
        return self

    def _listen(self) -> socket.socket:
        """The port asked for; else the one of the last run, so that clients survive a restart; else any."""
        wanted = self._port or previous_port(self.kubeconfig)
        try:
            return _bound_socket(wanted)
        except OSError:
            if self._port:
                raise
            return _bound_socket(0)

    async def __aexit__(self, *_: object) -> None:
        for loop in self._loops:
            await loop.stop()
        if self.plane:
            self.plane.end_watches()
        if self._runner:
            await self._runner.cleanup()
        if self._aggregator:
            await self._aggregator.close()
        if self.plane:
            await self.plane.close()
        if self._audit:
            self._audit.close()


def _bound_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def running_api_server(
    state: Path, *, port: int = 0, settings: ServerSettings | None = None
) -> Iterator[EmbeddedApiServer]:
    """A server in a thread with an event loop of its own, for synchronous tests and scripts."""
    server = EmbeddedApiServer(state, port=port, settings=settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="apiserver", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(_START_SECONDS)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(_START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
