"""The commands of `safehold restore`: follow one that runs, and read the plan of one."""

import asyncio
from pathlib import Path

import click

from safehold.api import VMRestore
from safehold.cli.kubeconfig import kubeconfig_option, refuse_absent
from safehold.cli.program import INTERRUPTED
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_json
from safehold.cli.restore.plan_table import show_plan
from safehold.cli.restore.views import View, state_of, view_of
from safehold.errors import NotFoundError, SafeholdError, UsageError
from safehold.kube.client import Cluster
from safehold.kube.restore.following import follow_restore, read_restore
from safehold.plan.conditions import READY, is_true

namespace_option = click.option(
    "--namespace", "-n", default="default", show_default=True, help="The VMRestore's namespace."
)


@click.group("restore", invoke_without_command=True, short_help="Follow a restore, or read its plan.")
@click.option("--watch", "name", metavar="NAME", help="Follow the VMRestore of this name until it ends.")
@namespace_option
@kubeconfig_option
@output_option
@click.pass_context
def command(context: click.Context, name: str | None, namespace: str, kubeconfig: Path, output: str) -> int:
    """Look at VMRestores. `--watch NAME` shows bytes, percent and the time left of every volume, until the end.

    It exits with 0 when the restore completed, or is planned and nothing blocks it, and with 1 when it failed. Ctrl-C
    ends the watching only: the restore goes on.
    """
    if context.invoked_subcommand is not None:
        return 0
    if name is None:
        raise UsageError("Nothing has been asked for", remedy="give --watch NAME, or call 'safehold restore plan NAME'")
    refuse_absent(kubeconfig)
    try:
        with view_of(output) as view:
            return asyncio.run(_follow(kubeconfig, namespace, name, view))
    except KeyboardInterrupt:
        click.echo(f"VMRestore {namespace}/{name} goes on: watch it again with the same command.", err=True)
        return INTERRUPTED


@command.command("plan", short_help="What a restore will do, or did.")
@click.argument("name")
@namespace_option
@kubeconfig_option
@output_option
def plan(name: str, namespace: str, kubeconfig: Path, output: str) -> int:
    """Show `status.plan` of the VMRestore NAME: what will change, how long it takes, and what is in its way.

    It exits with 1 when something blocks the restore.
    """
    refuse_absent(kubeconfig)
    restore = asyncio.run(_read(kubeconfig, namespace, name))
    found = restore.status.plan
    if found is None:
        raise NotFoundError(f"VMRestore {namespace}/{name} has no plan; it is {state_of(restore)}")
    if output == "json":
        show_json(found.to_wire())
    else:
        show_plan(found)
    return 1 if found.blocking else 0


async def _follow(kubeconfig: Path, namespace: str, name: str, view: View) -> int:
    async with Cluster.connect(kubeconfig) as cluster:
        restore: VMRestore | None = None
        async for restore in follow_restore(cluster, namespace, name):
            view.show(restore)
    assert restore is not None  # the first look is always given
    if is_true(restore.status.conditions, READY):
        return 0
    raise SafeholdError(f"VMRestore {namespace}/{name} did not come to a good end; it is {state_of(restore)}")


async def _read(kubeconfig: Path, namespace: str, name: str) -> VMRestore:
    async with Cluster.connect(kubeconfig) as cluster:
        return await read_restore(cluster, namespace, name)
