"""`python -m sandbox csi`: storage for any cluster that has none of its own."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.cluster.lifetime import serve_until_stopped
from sandbox.csi.binder import RESYNC_SECONDS
from sandbox.csi.service import running_storage


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
    serve_until_stopped(running_storage(kubeconfig, state, resync_seconds=resync_seconds))
