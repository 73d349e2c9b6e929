"""A work queue: which objects have to be looked at, when, and never the same one twice at once.

Kopf's watches put keys in; workers reconcile them. What has to be looked at again without an event (a due time, a
poll, a retry) comes back by itself. Unlike a Kopf timer it needs no finalizer on the objects, so an object can be
deleted while the controller is down.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from safehold.errors import SafeholdError

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for a cluster-wide object) and name."""
Reconcile = Callable[[Key], Awaitable[float | None]]
"""Looks at one object; answers after how many seconds to do so again, or None to wait for an event."""

Complain = Callable[[Key, SafeholdError], Awaitable[None]]
"""Tells people, in the object's status, why it does not come further."""

SILENT_RETRIES = 3
"""How often a call that may succeed later is repeated before anybody is told."""
RETRY_SECONDS = (1.0, 60.0)
"""First and longest delay after an error; it doubles in between."""


@dataclass(slots=True)
class WorkQueue:
    """Keys of one kind, and the tasks that work on them. `add` from the event loop only."""

    name: str
    reconcile: Reconcile
    workers: int = 8
    on_pass: Callable[[], None] = lambda: None
    """Called after each pass that reached the cluster: a sign of life."""
    complain: Complain | None = None
    """Called when a pass failed in a way that may last."""
    _ready: asyncio.Queue[Key] = field(default_factory=asyncio.Queue)
    _waiting: set[Key] = field(default_factory=set)
    _active: set[Key] = field(default_factory=set)
    _again: set[Key] = field(default_factory=set)
    _soon: dict[Key, float] = field(default_factory=dict)
    """Of active keys: when to look again at the latest, by the loop's clock."""
    _timers: dict[Key, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)

    def add(self, key: Key) -> None:
        """Look at the object soon: once, however often this is called before that."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: Key, seconds: float) -> None:
        """Look at the object in `seconds`, unless an event comes before."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    def add_within(self, key: Key, seconds: float) -> None:
        """Look at the object in `seconds` at the latest: one look for all that happens until then."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if key in self._active:
            self._soon[key] = min(when, self._soon.get(key, when))
        elif key not in self._waiting and (timer is None or timer.when() > when):
            self.add_later(key, seconds)

    def depth(self) -> int:
        """How many objects wait to be looked at now."""
        return len(self._waiting)

    def scheduled(self) -> int:
        """How many objects are looked at again later without an event."""
        return len(self._timers)

    def at_work(self, *, besides: Collection[Key] = ()) -> int:
        """How many objects are looked at now, soon or later; those `besides` do not count while they are in line."""
        return len(self._active) + len(self._waiting.difference(besides)) + len(self._timers)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.workers):
                    group.create_task(self._work(), name=f"{self.name} worker")
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._active.add(key)
            try:
                delay = await self._pass(key)
            finally:
                self._active.discard(key)
            soon = self._soon.pop(key, None)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
                continue
            if delay is not None:
                self.add_later(key, delay)
            if soon is not None:
                self.add_within(key, max(0.0, soon - asyncio.get_running_loop().time()))

    async def _pass(self, key: Key) -> float | None:
        try:
            delay = await self.reconcile(key)
        except SafeholdError as error:
            return await self._retry(key, error)
        except Exception as error:  # edge of the process: one object's defect must not stop the others
            logger.exception("a defect while reconciling %s %s/%s", self.name, *key)
            return await self._retry(key, SafeholdError(f"the controller failed unexpectedly: {type(error).__name__}"))
        self._failures.pop(key, None)
        self.on_pass()
        return delay

    async def _retry(self, key: Key, error: SafeholdError) -> float:
        first, longest = RETRY_SECONDS
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(longest, first * 2.0 ** (failures - 1))
        logger.warning("%s %s/%s: %s; again in %.0f s", self.name, *key, error, delay)
        if self.complain and (not error.retryable or failures > SILENT_RETRIES):
            try:
                await self.complain(key, error)
            except Exception as unheard:  # noqa: BLE001  # what cannot be told is in the log, and told at the next try
                logger.warning("%s %s/%s: this could not be told in its status: %s", self.name, *key, unheard)
        return delay
