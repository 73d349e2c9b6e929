"""`python -m sandbox apiserver`."""

import asyncio
import signal
from pathlib import Path

import click

from sandbox.apiserver.control_plane import ServerSettings
from sandbox.apiserver.server import EmbeddedApiServer


@click.command("apiserver")
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory for all state."
)
@click.option("--port", type=int, default=0, help="Port on 127.0.0.1; without it the last run's, or any.")
@click.option(
    "--namespace-delay",
    type=float,
    default=5.0,
    show_default=True,
    help="Seconds before a namespace that ends is emptied.",
)
def command(state: Path, port: int, namespace_delay: float) -> None:
    """Run the embedded Kubernetes API server; writes DIR/admin.kubeconfig when it is ready."""
    asyncio.run(_serve(state, port, ServerSettings(namespace_delay_seconds=namespace_delay)))


async def _serve(state: Path, port: int, settings: ServerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with EmbeddedApiServer(state, port=port, settings=settings) as server:
        click.echo(f"Kubernetes API at {server.url}; KUBECONFIG={server.kubeconfig}")
        await stop.wait()
