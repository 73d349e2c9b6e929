"""`python -m sandbox csi`: storage for any cluster that has none of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from sandbox.cluster.lifetime import serve_until_stopped
from sandbox.csi.binder import RESYNC_SECONDS
from sandbox.csi.service import running_storage
from sandbox.csi.snapshot_metadata.service import ServiceSettings


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
@click.option(
    "--changed-blocks",
    type=click.Choice(["none", "fixed", "variable"]),
    default="variable",
    show_default=True,
    help="How the driver tells changed blocks: not at all, block by block, or as runs of them.",
)
def command(
    kubeconfig: Path, state: Path, resync_seconds: float, changed_blocks: Literal["none", "fixed", "variable"]
) -> None:
    """Storage: provisioner, PV controller, snapshots, changed blocks, resize; prints "ready" when it serves."""
    service = None if changed_blocks == "none" else ServiceSettings(block_type=changed_blocks)
    serve_until_stopped(running_storage(kubeconfig, state, resync_seconds=resync_seconds, changed_blocks=service))
