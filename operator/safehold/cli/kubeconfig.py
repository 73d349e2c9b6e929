"""The option that says how a command reaches a cluster."""

import os
from pathlib import Path

import click

from safehold.errors import UsageError

kubeconfig_option = click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    type=click.Path(path_type=Path),
    default=Path.home() / ".kube" / "config",
    show_default="~/.kube/config",
    help="How to reach the cluster.",
)


def refuse_absent(kubeconfig: Path) -> None:
    """UsageError where none of the files that `kubeconfig` lists exists."""
    if not any(Path(path).is_file() for path in str(kubeconfig).split(os.pathsep)):
        raise UsageError(f"There is no kubeconfig {kubeconfig}", remedy="name one with --kubeconfig or KUBECONFIG")
