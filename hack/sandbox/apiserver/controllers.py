"""The controllers that belong to the API itself, run as tasks beside the server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sandbox.apiserver.bootstrap import NamespaceFurnisher
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import StoreEvent

_log = logging.getLogger(__name__)
_RESYNC_SECONDS = 30.0


class ControllerLoop:
    """Runs every controller's pass whenever something changed, and now and then anyway."""

    def __init__(self, plane: ControlPlane, furnisher: NamespaceFurnisher) -> None:
        self._changed = asyncio.Event()
        self._passes: list[Callable[[], Awaitable[None]]] = [furnisher.furnish]
        self._task: asyncio.Task[None] | None = None
        plane.store.observe(self._wake)

    def _wake(self, _: StoreEvent) -> None:
        self._changed.set()

    def start(self) -> None:
        """Start working."""
        self._task = asyncio.create_task(self._run(), name="apiserver-controllers")

    async def stop(self) -> None:
        """Stop, in the middle of whatever is being done."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for run in self._passes:
                try:
                    await run()
                except ApiError as error:
                    _log.warning("controller %s: %s", run.__qualname__, error)
            try:
                async with asyncio.timeout(_RESYNC_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()
