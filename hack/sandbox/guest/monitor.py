"""QEMU's own view of a guest, over QMP."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from sandbox.guest.errors import GuestError

_CONNECT_SECONDS = 30.0
# The library reports every lost connection as an error; here that is how a guest ends.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor:
    """One QMP connection. The socket takes one client, which is this one."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls, socket: Path) -> Monitor:
        """Connects as soon as QEMU has made its socket."""
        client = QMPClient("guest")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                while True:
                    try:
                        await client.connect(str(socket))
                        return cls(client)
                    except (QMPError, OSError):
                        # The socket appears some 20 ms after QEMU starts.
                        await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise GuestError(f"QEMU did not open its monitor {socket} within {_CONNECT_SECONDS:g} s") from error

    async def agent_port_open(self) -> bool:
        """True while a process in the guest holds the agent's port, also if that process only hangs.

        It is what libvirt reports as the channel's state, from which KubeVirt derives AgentConnected.
        """
        ports = await self.execute("query-chardev")
        return any(port["label"] == "agent" and port["frontend-open"] for port in ports)

    async def pause(self) -> None:
        """Stops the guest's CPUs."""
        await self.execute("stop")

    async def resume(self) -> None:
        """Lets the guest's CPUs run again."""
        await self.execute("cont")

    async def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Any QMP command's return value; GuestError in QEMU's words if it is refused or QEMU has ended."""
        try:
            return await self._client.execute(command, arguments)
        except (ExecuteError, QMPError, OSError, EOFError) as error:
            raise GuestError(f"QEMU did not carry out {command}: {error}") from error

    async def close(self) -> None:
        """Ends the connection; a connection that QEMU ended already is fine."""
        try:
            await self._client.disconnect()
        except (QMPError, OSError, EOFError):
            return
