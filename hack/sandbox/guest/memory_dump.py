"""A guest's memory as a file: QEMU's own dump, an ELF core of the physical memory, as libvirt's memory-only core is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sandbox.guest.errors import GuestError
from sandbox.guest.monitor import Monitor

_POLL_SECONDS = 0.1


async def dump_memory(monitor: Monitor, path: Path, owner: int) -> None:
    """Writes the file and gives it to `owner`; GuestError in QEMU's words. The guest's CPUs stop meanwhile.

    The dump runs detached: the monitor has one connection, on which the agent's state is asked for all the time.
    """
    await monitor.execute("dump-guest-memory", {"paging": False, "protocol": f"file:{path}", "detach": True})
    while (state := await monitor.execute("query-dump"))["status"] == "active":  # noqa: ASYNC110 (QEMU's state)
        await asyncio.sleep(_POLL_SECONDS)
    if state["status"] != "completed":
        raise GuestError("QEMU could not write the guest's memory")
    os.chown(path, owner, owner)
