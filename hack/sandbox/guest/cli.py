"""`python -m sandbox guest`: a look into the guests of a running sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Literal

import click

from sandbox.guest.errors import GuestError
from sandbox.guest.inside import guest_check, guest_exec


@click.group("guest")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".sandbox"),
    show_default=True,
    help="State folder of the kubevirt part.",
)
@click.pass_context
def command(context: click.Context, state: Path) -> None:
    """Looks into guests: `guest exec shop/web -- ls /data`, `guest check shop/web`."""
    context.obj = state


@command.command("exec")
@click.argument("machine", metavar="NAMESPACE/VM")
@click.argument("line", nargs=-1, required=True)
@click.pass_obj
def execute(state: Path, machine: str, line: tuple[str, ...]) -> None:
    """Runs a line of shell in the guest and prints what it prints."""
    namespace, vm = _parts(machine)
    try:
        click.echo(asyncio.run(guest_exec(state, namespace, vm, " ".join(line))), nl=False)
    except GuestError as error:
        raise click.ClickException(str(error)) from error


@command.command("check")
@click.argument("machine", metavar="NAMESPACE/VM")
@click.option("--when", type=click.Choice(["boot", "now"]), default="now", show_default=True)
@click.pass_obj
def check(state: Path, machine: str, when: Literal["boot", "now"]) -> None:
    """Proves the guest's disks: file system, database, checksums, counter. Exit status 1 if one is not right."""
    namespace, vm = _parts(machine)
    try:
        reports = asyncio.run(guest_check(state, namespace, vm, when))
    except GuestError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(reports, indent=2))
    sys.exit(0 if reports and all(report["ok"] for report in reports.values()) else 1)


def _parts(machine: str) -> tuple[str, str]:
    namespace, slash, vm = machine.partition("/")
    if not (namespace and slash and vm):
        raise click.UsageError(f"{machine!r} is not NAMESPACE/VM")
    return namespace, vm
