"""Level-triggered controllers: changes become keys, keys are reconciled one at a time until reconciling succeeds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

import aiohttp

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError, ConflictError
from sandbox.cluster.informer import Informer, Key, key_of
from sandbox.cluster.kinds import Kind

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Brings one object closer to its spec; a number asks to be called again after so many seconds."""

_log = logging.getLogger(__name__)


class TryAgainError(Exception):
    """Raised by a reconcile that told the user already and wants to be called again, each time later."""


class WorkQueue:
    """Keys to be worked on: each is queued once, is never with two workers, and comes back if it changed meanwhile."""

    def __init__(self, backoff_seconds: float, max_backoff_seconds: float) -> None:
        self._backoff, self._max_backoff = backoff_seconds, max_backoff_seconds
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Queues the key now, also if it is due later."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Queues the key after a while; an earlier appointment stands."""
        due = asyncio.get_running_loop().time() + seconds
        timer = self._timers.get(key)
        if timer and timer.when() <= due:
            return
        if timer:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    def retry(self, key: Key) -> float:
        """Queues a key that failed, each time twice as late up to the maximum; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._backoff * 2.0 ** min(failures, 30), self._max_backoff)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Starts the key's back-off from the beginning again."""
        self._failures.pop(key, None)

    async def take(self) -> Key:
        """Waits for a key; the worker hands it back with `done`."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """Ends the work on a key, and queues it again if it was added meanwhile."""
        self._working.discard(key)
        if key in self._waiting:
            self._ready.put_nowait(key)

    def close(self) -> None:
        """Drops every appointment."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


class Controller:
    """Informers that feed one work queue. `name` shows in the log."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        workers: int = 2,
        backoff_seconds: float = 0.1,
        max_backoff_seconds: float = 30.0,
    ) -> None:
        self.name = name
        self.queue = WorkQueue(backoff_seconds, max_backoff_seconds)
        self._cluster = cluster
        self._workers = workers
        self._informers: list[Informer] = []
        self._own: list[Informer] = []

    def watch(self, source: Kind | Informer, keys_of: Callable[[Object], Iterable[Key]] | None = None) -> Self:
        """Queues `keys_of(object)` at every change (by default the object's own key).

        An Informer that is given is shared and run by its owner; for a Kind the controller runs one of its own.
        """
        informer = source if isinstance(source, Informer) else Informer(self._cluster, source)
        if isinstance(source, Kind):
            self._own.append(informer)
        self._informers.append(informer)

        def queue_keys(obj: Object) -> None:
            for key in [key_of(obj)] if keys_of is None else keys_of(obj):
                self.queue.add(key)

        informer.subscribe(queue_keys)
        return self

    async def run(self, reconcile: Reconcile) -> None:
        """Works until cancelled, from the moment on when every cache is filled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for informer in self._own:
                    tasks.create_task(informer.run())
                for informer in self._informers:
                    await informer.synced.wait()
                for _ in range(self._workers):
                    tasks.create_task(self._work(reconcile))
        finally:
            self.queue.close()

    async def _work(self, reconcile: Reconcile) -> None:
        while True:
            key = await self.queue.take()
            try:
                again = await reconcile(key)
            except (ConflictError, TryAgainError) as error:
                # A conflict means that somebody else wrote first: the ordinary case that level-triggering is for.
                _log.debug("%s %s: %s", self.name, "/".join(key), error)
                self.queue.retry(key)
            except (TimeoutError, ApiError, aiohttp.ClientError, OSError) as error:
                delay = self.queue.retry(key)
                _log.warning("%s %s: %s; again in %.1f s", self.name, "/".join(key), error, delay)
            else:
                self.queue.forget(key)
                if again is not None:
                    self.queue.add_after(key, again)
            finally:
                self.queue.done(key)
