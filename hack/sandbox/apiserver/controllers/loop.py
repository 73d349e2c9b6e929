"""Runs the controllers as one task beside the server."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import Store, StoreEvent

_log = logging.getLogger(__name__)
_RESYNC_SECONDS = 30.0
_RETRY_SECONDS = 1.0


class Controller(Protocol):
    """Notes changes as they happen, and works on them when it is run."""

    async def run(self) -> float | None:
        """Do what is due; returns the seconds until more is, or None if only a change can bring more work."""


class ControllerLoop:
    """Runs every controller after changes, when one asked for it, and now and then anyway."""

    def __init__(self, store: Store, controllers: Sequence[Controller]) -> None:
        self._changed = asyncio.Event()
        self._controllers = controllers
        self._task: asyncio.Task[None] | None = None
        store.observe(self._wake)

    def _wake(self, _: StoreEvent) -> None:
        self._changed.set()

    def start(self) -> None:
        """Start working."""
        self._task = asyncio.create_task(self._run(), name="apiserver-controllers")

    async def stop(self) -> None:
        """Stop, in the middle of whatever is being done: all work is taken up again from the objects."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pause = _RESYNC_SECONDS
            for controller in self._controllers:
                pause = min(pause, await self._attempt(controller))
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _attempt(self, controller: Controller) -> float:
        try:
            due = await controller.run()
        except ApiError as error:
            _log.warning("%s: %s", type(controller).__name__, error)
            return _RETRY_SECONDS
        return _RESYNC_SECONDS if due is None else due
