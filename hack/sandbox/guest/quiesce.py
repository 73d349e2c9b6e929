"""Freezing and thawing a guest, with the deadline that the agent itself does not have.

The guests are Linux, whose freezes hold until they are thawed. `hold_limit_seconds` plays what Windows does otherwise:
VSS lets go of a freeze after ten seconds by itself, and the agent tells so only when it is asked to thaw.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
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
LIMIT_MESSAGE = "fsfreeze is limited up to 10 seconds"
"""What Windows' agent answers to a thaw that came too late; the number is that of VSS, whatever the sandbox's limit."""


_LIMIT_FAULT = "vss-limit="


def hold_limit(faults: Iterable[str]) -> float | None:
    """The seconds of the fault vss-limit=SECONDS; None where freezes hold."""
    return next((float(fault.removeprefix(_LIMIT_FAULT)) for fault in faults if fault.startswith(_LIMIT_FAULT)), None)


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
        self.hold_limit_seconds: float | None = None
        """After which the guest lets go of a freeze by itself."""
        self._sockets = sockets
        self._let_go = False
        self._since: tuple[datetime, float] | None = None
        self._deadline: asyncio.Task[None] | None = None
        self._limit: asyncio.Task[None] | None = None

    @property
    def frozen(self) -> bool:
        """True from the agent's answer to the freeze until its answer to the thaw; also after the guest has let go."""
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
            self._since, self._let_go = (datetime.now(UTC), time.monotonic()), False
        if self.hold_limit_seconds is not None:
            self._limit = asyncio.create_task(self._let_go_at(self.hold_limit_seconds))
        if thaw_after_seconds > 0:
            self._deadline = asyncio.create_task(self._thaw_at(thaw_after_seconds))

    async def thaw(self) -> None:
        """Thaws all file systems; does nothing if none is frozen. GuestError, once, if the guest had let go before."""
        async with self.agent_lock:
            await self._thaw()

    def close(self) -> None:
        """Forgets the deadlines: the guest has ended."""
        for task in (self._deadline, self._limit):
            if task and task is not asyncio.current_task():
                task.cancel()

    async def _thaw(self) -> None:
        if self._since is None:
            return
        if self._let_go:
            self._since = None
            self.close()
            raise GuestError(LIMIT_MESSAGE)
        await self._release()
        self._since = None
        self.close()

    async def _release(self) -> None:
        """Lets the guest write again."""
        assert self._since is not None
        counters = acknowledged_counters(self._sockets.acknowledged)
        async with Agent.connect(self._sockets.agent) as agent:
            await agent.thaw(_COMMAND_SECONDS)
        frozen, started = self._since
        millis = round((time.monotonic() - started) * 1000, 1)
        self.on_thaw(Freeze(frozen=frozen, thawed=datetime.now(UTC), millis=millis, counters=counters))

    async def _let_go_at(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        _log.info("the guest lets go of its freeze after %g s", seconds)
        async with self.agent_lock:
            if self._since:
                await self._release()
                self._let_go = True

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
