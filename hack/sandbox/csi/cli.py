"""`python -m sandbox csi`: storage for any cluster that has none of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sandbox.cluster.client import Cluster
from sandbox.csi.binder import RESYNC_SECONDS
from sandbox.csi.service import serve


@click.command("csi")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the volumes.")
@click.option(
    "--resync-seconds",
    type=click.FloatRange(min=0.1),
    default=RESYNC_SECONDS,
    show_default=True,
    help="How late a claim notices by itself that its volume was re-pointed.",
)
def command(kubeconfig: Path, state: Path, resync_seconds: float) -> None:
    """Storage: provisioner, PV controller, snapshots, resize; prints "ready" when it serves."""
    asyncio.run(_run(kubeconfig, state, resync_seconds))


async def _run(kubeconfig: Path, state: Path, resync_seconds: float) -> None:
    ready = asyncio.Event()
    async with Cluster.connect(kubeconfig, "sandbox-csi") as cluster, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(cluster, state, resync_seconds=resync_seconds, ready=ready))
        await ready.wait()
        click.echo("ready")
