"""A client of the QEMU guest agent: newline-delimited JSON over the agent's port.

Facts it rests on (qemu-ga 7.2): one client at a time; `guest-sync-delimited` after a byte 0xFF recovers from a half
request of an earlier client; a freeze whose answer never came may nevertheless hold; the agent itself never times out.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from sandbox.guest.errors import AgentError, AgentSilentError

FreezeStatus = Literal["thawed", "frozen"]
_SYNC_SECONDS = 3.0
_READ_LIMIT = 16 << 20


class Agent:
    """One conversation with the agent of one guest; open it with `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, socket: Path, sync_seconds: float = _SYNC_SECONDS) -> AsyncIterator[Agent]:
        """Connects and synchronizes; AgentSilentError if no agent answers in time."""
        try:
            reader, writer = await asyncio.open_unix_connection(socket, limit=_READ_LIMIT)
        except OSError as error:
            raise AgentSilentError(f"the guest's agent port cannot be opened: {error.strerror}") from error
        try:
            agent = cls(reader, writer)
            await agent._synchronize(sync_seconds)
            yield agent
        finally:
            writer.close()

    async def freeze(self, seconds: float) -> int:
        """Freezes all file systems; returns how many. `seconds` includes the guest's freeze hook."""
        return int(await self._execute("guest-fsfreeze-freeze", seconds=seconds))

    async def thaw(self, seconds: float) -> int:
        """Thaws all file systems; returns how many were frozen, 0 is no error."""
        return int(await self._execute("guest-fsfreeze-thaw", seconds=seconds))

    async def freeze_status(self) -> FreezeStatus:
        """What the agent itself believes."""
        return "frozen" if await self._execute("guest-fsfreeze-status") == "frozen" else "thawed"

    async def os_info(self) -> dict[str, Any]:
        """As `guest-get-osinfo` answers."""
        return dict(await self._execute("guest-get-osinfo"))

    async def file_systems(self) -> list[dict[str, Any]]:
        """As `guest-get-fsinfo` answers: name, mountpoint, type, used and total bytes, disks."""
        return list(await self._execute("guest-get-fsinfo"))

    async def host_name(self) -> str:
        """The guest's host name."""
        return str((await self._execute("guest-get-host-name"))["host-name"])

    async def version(self) -> str:
        """The agent's version."""
        return str((await self._execute("guest-info"))["version"])

    async def shut_down(self) -> None:
        """Asks the guest to power off. By protocol this command has no answer."""
        request = {"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}
        self._writer.write(json.dumps(request).encode() + b"\n")
        await self._writer.drain()

    async def _synchronize(self, seconds: float) -> None:
        token = secrets.randbelow(1 << 31)
        request = {"execute": "guest-sync-delimited", "arguments": {"id": token}}
        self._writer.write(b"\xff" + json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(seconds):
                # The agent puts 0xFF before the answer: whatever an earlier client left unread ends there.
                while (await self._line_after_delimiter()).get("return") != token:
                    pass
        except TimeoutError as error:
            raise AgentSilentError(f"the guest agent did not answer within {seconds:g} s") from error

    async def _line_after_delimiter(self) -> dict[str, Any]:
        line = await self._read_line()
        try:
            answer = json.loads(line.rpartition(b"\xff")[2])
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}

    async def _execute(self, command: str, arguments: dict[str, Any] | None = None, seconds: float = 5.0) -> Any:
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(seconds):
                answer = json.loads(await self._read_line())
        except TimeoutError as error:
            raise AgentSilentError(f"the guest agent did not answer {command} within {seconds:g} s") from error
        if "error" in answer:
            raise AgentError(str(answer["error"].get("desc", answer["error"])))
        return answer.get("return")

    async def _read_line(self) -> bytes:
        line = await self._reader.readline()
        if not line:
            raise AgentSilentError("the guest agent's port was closed: the guest has ended")
        return line
