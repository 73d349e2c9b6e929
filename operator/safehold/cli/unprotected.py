"""`safehold doctor --unprotected`: VMs that no policy backs up, and why."""

from collections.abc import Sequence
from pathlib import Path

import click

from safehold.cli.repo.output import show_json, show_table
from safehold.kube.client import Cluster
from safehold.kube.coverage import find_uncovered
from safehold.kube.fleet import Fleet
from safehold.plan.policy.coverage import Uncovered


async def list_unprotected(kubeconfig: Path, output: str) -> int:
    """Show them, and answer the exit code: 1 if there is one that nobody left out on purpose, by its label."""
    async with Cluster.connect(kubeconfig) as cluster:
        fleet = Fleet.of(cluster)
        await fleet.machines.refresh()
        await fleet.namespaces.refresh()
        machines = len(await fleet.machines.members())
        found = await find_uncovered(cluster, fleet)
    if output == "json":
        show_json(_document(machines, found))
    else:
        _show(machines, found)
    return 1 if any(one.gap != "OptedOut" for one in found) else 0


def _document(machines: int, found: Sequence[Uncovered]) -> dict[str, object]:
    return {
        "machines": machines,
        "unprotected": [
            {"namespace": one.namespace, "vm": one.vm, "reason": one.gap, "message": one.why} for one in found
        ],
    }


def _show(machines: int, found: Sequence[Uncovered]) -> None:
    if found:
        rows = [(one.namespace, one.vm, one.gap, one.why) for one in found]
        show_table("Backed up by no policy", ("namespace", "VM", "reason", "why"), rows)
    click.echo(f"{machines - len(found)} of {machines} VMs are backed up by a policy.")
