"""The life of a part that runs as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AbstractAsyncContextManager

import click

READY = "ready"
"""The line that a part prints once it serves."""


def serve_until_stopped(part: AbstractAsyncContextManager[object]) -> None:
    """Enters the part, says that it is ready, and leaves it in good order at SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(part))


async def _serve(part: AbstractAsyncContextManager[object]) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with part:
            click.echo(READY)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return
