"""Freezing and thawing a guest, with the deadline that the agent itself does not have."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.guest.acknowledged import acknowledged_counters
from sandbox.guest.agent import Agent
from sandbox.guest.commandline import Sockets
from sandbox.guest.errors import GuestError

_log = logging.getLogger(__name__)
_COMMAND_SECONDS = 60.0
"""How long a freeze may take including the guest's hook: libvirt's own limit in KubeVirt."""
_THAW_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One freeze that ended. `counters` are the acknowledged commits per disk serial, read just before the thaw."""

    frozen: datetime
    thawed: datetime
    millis: float
    counters: dict[str, int]


class Quiesce:
    """The freezes of one guest. `on_thaw` hears of each one that ended, also of one that ended by its deadline."""

    def __init__(self, sockets: Sockets) -> None:
        self.agent_lock = asyncio.Lock()
        """Held by whoever talks to the agent, which serves one client at a time."""
        self.on_thaw: Callable[[Freeze], None] = lambda _: None
        self._sockets = sockets
        self._since: tuple[datetime, float] | None = None
        self._deadline: asyncio.Task[None] | None = None

    @property
    def frozen(self) -> bool:
        """True from the agent's answer to the freeze until its answer to the thaw."""
        return self._since is not None

    async def freeze(self, thaw_after_seconds: float) -> None:
        """Freezes all file systems; does nothing if they are frozen. After the deadline (0: none) they are thawed.

        A freeze that failed may nevertheless hold in the guest (a client that gave up during a slow hook), so every
        failure is followed by a thaw before the error is raised.
        """
        async with self.agent_lock:
            if self._since:
                return
            # A thaw that is still being tried after an earlier failure must not undo this freeze.
            self.close()
            try:
                async with Agent.connect(self._sockets.agent) as agent:
                    await agent.freeze(_COMMAND_SECONDS)
            except BaseException:
                self._deadline = asyncio.create_task(self._thaw_until_done())
                raise
            self._since = (datetime.now(UTC), time.monotonic())
        if thaw_after_seconds > 0:
            self._deadline = asyncio.create_task(self._thaw_at(thaw_after_seconds))

    async def thaw(self) -> None:
        """Thaws all file systems; does nothing if none is frozen."""
        async with self.agent_lock:
            await self._thaw()

    def close(self) -> None:
        """Forgets the deadline: the guest has ended."""
        if self._deadline and self._deadline is not asyncio.current_task():
            self._deadline.cancel()

    async def _thaw(self) -> None:
        if self._since is None:
            return
        counters = acknowledged_counters(self._sockets.acknowledged)
        async with Agent.connect(self._sockets.agent) as agent:
            await agent.thaw(_COMMAND_SECONDS)
        frozen, started = self._since
        self._since = None
        self.close()
        millis = round((time.monotonic() - started) * 1000, 1)
        self.on_thaw(Freeze(frozen=frozen, thawed=datetime.now(UTC), millis=millis, counters=counters))

    async def _thaw_at(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        _log.info("the unfreeze timeout of %g s passed: thawing", seconds)
        await self._thaw_until_done()

    async def _thaw_until_done(self) -> None:
        while True:
            try:
                async with self.agent_lock:
                    await self._thaw_whatever_is_known()
            except GuestError as error:
                _log.debug("thaw: %s; again in %g s", error, _THAW_RETRY_SECONDS)
                await asyncio.sleep(_THAW_RETRY_SECONDS)
            else:
                return

    async def _thaw_whatever_is_known(self) -> None:
        if self._since:
            await self._thaw()
            return
        async with Agent.connect(self._sockets.agent) as agent:
            if await agent.freeze_status() == "frozen":
                await agent.thaw(_COMMAND_SECONDS)
