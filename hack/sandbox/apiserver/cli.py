"""`python -m sandbox apiserver`."""

import asyncio
import signal
from pathlib import Path

import click

from sandbox.apiserver.binaries.assets import VARIABLE, Assets, AssetsError, find_assets
from sandbox.apiserver.binaries.server import RealApiServer
from sandbox.apiserver.control_plane import ServerSettings
from sandbox.apiserver.server import EmbeddedApiServer
from sandbox.program import ProgramError

_NAMESPACE_SECONDS = 5.0


@click.command("apiserver")
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory for all state."
)
@click.option("--port", type=int, default=0, help="Port on 127.0.0.1; without it the last run's, or any.")
@click.option(
    "--namespace-delay",
    type=float,
    help=f"Seconds before the embedded server empties a namespace that ends.  [default: {_NAMESPACE_SECONDS}]",
)
@click.option(
    "--assets",
    type=click.Path(path_type=Path),
    envvar=VARIABLE,
    show_envvar=True,
    help="Folder with the programs etcd and kube-apiserver, to be run in place of the embedded server.",
)
def command(state: Path, port: int, namespace_delay: float | None, assets: Path | None) -> None:
    """Run a Kubernetes API server; writes DIR/admin.kubeconfig when it is ready."""
    try:
        if assets is None:
            delay = _NAMESPACE_SECONDS if namespace_delay is None else namespace_delay
            asyncio.run(_embedded(state, port, ServerSettings(namespace_delay_seconds=delay)))
        elif namespace_delay is not None:
            raise click.UsageError("--namespace-delay is of the embedded server; leave it out, or --assets")
        else:
            asyncio.run(_real(state.resolve(), port, find_assets(assets.resolve())))
    except (AssetsError, ProgramError) as error:
        raise click.ClickException(str(error)) from error


async def _embedded(state: Path, port: int, settings: ServerSettings) -> None:
    stop = _stop_event()
    async with EmbeddedApiServer(state, port=port, settings=settings) as server:
        _announce(server)
        await stop.wait()


async def _real(state: Path, port: int, assets: Assets) -> None:
    stop = _stop_event()
    async with RealApiServer(state, assets, port=port) as server:
        if assets.controller_manager is None:
            click.echo(
                "Without kube-controller-manager in the folder no namespace ends, nothing is garbage-collected, and "
                "service accounts are not made.",
                err=True,
            )
        _announce(server)
        ended = asyncio.create_task(server.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await ended
        ended.cancel()


def _stop_event() -> asyncio.Event:
    """Set by SIGINT and SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _announce(server: EmbeddedApiServer | RealApiServer) -> None:
    click.echo(f"Kubernetes API at {server.url}; KUBECONFIG={server.kubeconfig}")
