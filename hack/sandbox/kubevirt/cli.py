"""`python -m sandbox kubevirt`: virtual machines for any cluster that has none."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click

from sandbox.guest.image import default_cache
from sandbox.kubevirt.service import Settings, image_for, running_kubevirt

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("kubevirt")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--state", type=_FOLDER, required=True, help="Folder for freezes.jsonl.")
@click.option("--volumes", type=_FOLDER, help="State folder of the CSI part; by default the same as --state.")
@click.option("--cache", type=_FOLDER, default=default_cache, show_default="~/.cache/safehold-sandbox")
@click.option("--qemu/--no-qemu", default=True, help="Real guests, or guests that are only disks.")
def command(kubeconfig: Path, state: Path, volumes: Path | None, cache: Path, qemu: bool) -> None:
    """Virtual machines, their snapshots and restores; prints "ready" when it serves."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings(state=state, volumes=volumes or state, image=image_for(cache, qemu=qemu), cache=cache)
    asyncio.run(_run(kubeconfig, settings))


async def _run(kubeconfig: Path, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_kubevirt(kubeconfig, settings) as ended:
        click.echo("ready")
        await asyncio.wait({ended, asyncio.ensure_future(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await ended
