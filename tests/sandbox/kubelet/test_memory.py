"""The watch that stands in for memory cgroups where they cannot be written."""

import asyncio
import sys

from sandbox.kubelet.memory import resident_bytes, watch_memory


async def test_the_watch_kills_over_the_limit() -> None:
    """A process is killed once it and its children hold more than the limit."""
    script = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', 'x = bytearray(200 << 20); input()'])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE)
    assert resident_bytes(process.pid) > 0
    await asyncio.wait_for(watch_memory(process.pid, 150 << 20, process.kill), 30)
    assert await process.wait() == -9
    assert resident_bytes(process.pid) == 0
