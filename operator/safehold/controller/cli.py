"""`safehold controller`: the program of the controller's Deployment."""

import asyncio
import logging
from pathlib import Path

import click

from safehold import logs
from safehold.controller.app import run_controller
from safehold.controller.settings import ControllerSettings
from safehold.controller.watches import WaitingIsNoError


@click.command("controller", short_help="Run the controller, in a cluster or against a kubeconfig.")
@click.option("--namespace", "namespaces", multiple=True, help="Serve only this namespace; may be repeated.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of the pod's own service account.",
)
def command(namespaces: tuple[str, ...], kubeconfig: Path | None) -> None:
    """Run the controller until it is told to stop; its settings are environment variables named SAFEHOLD_*."""
    settings = ControllerSettings()
    changes: dict[str, object] = {}
    if namespaces:
        changes["namespaces"] = list(namespaces)
    if kubeconfig:
        changes["kubeconfig"] = kubeconfig
    logs.configure(settings.log_level)
    logging.getLogger("kopf.objects").addFilter(WaitingIsNoError())
    if settings.log_level == "INFO":
        # Kopf tells of every call of a handler; what became of it, the transitions tell.
        logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(run_controller(settings.model_copy(update=changes)))
