"""`python -m sandbox kubelet`: a node, its scheduler and its workload controllers."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sandbox.cluster.lifetime import serve_until_stopped
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.images import Image, parse_image, python_paths
from sandbox.kubelet.service import running_node


def _images(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Image, ...]:
    try:
        return tuple(parse_image(value, python_paths()) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("kubelet")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the pods.")
@click.option(
    "--volumes",
    type=click.Path(file_okay=False, path_type=Path),
    help="State folder of the CSI part; by default the csi folder beside --state.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    callback=_images,
    metavar="NAME[@UID]=COMMAND",
    help="What an image stands for: its entry point on this machine, and the user that it runs as.",
)
@click.option("--node", default="sandbox", show_default=True, help="The node's name.")
@click.option("--address", default="127.0.0.1", show_default=True, help="The node's and its pods' address.")
def command(
    kubeconfig: Path, state: Path, volumes: Path | None, images: tuple[Image, ...], node: str, address: str
) -> None:
    """A node whose containers are processes of this machine; prints "ready" when it serves. Needs root."""
    settings = NodeSettings(
        name=node,
        address=address,
        folder=state.resolve(),
        storage=(volumes or state.parent / "csi").resolve(),
        images=images,
    )
    if os.geteuid() != 0:
        raise click.ClickException("pods need root: the kubelet gives each container its own mounts and user")
    serve_until_stopped(running_node(kubeconfig, settings))
