"""`safehold doctor`: is a cluster fit for backups, and what did runs leave behind in it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from safehold.cli.kubeconfig import kubeconfig_option, refuse_absent
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_json, show_table
from safehold.cli.unprotected import list_unprotected
from safehold.errors import SafeholdError, UsageError
from safehold.kube.backup.removal import remove_leftovers
from safehold.kube.client import Cluster
from safehold.kube.doctor.checkup import Checkup, check_cluster
from safehold.kube.kinds import VM_PULL_BACKUP
from safehold.plan.doctor.orphans import GROUP_ORPHANS, Orphan
from safehold.plan.doctor.verdicts import Verdict, is_well


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removal:
    """What became of the orphans of one run."""

    made_by: str
    complete: bool


@click.command("doctor", short_help="Check a cluster, and find what runs left behind.")
@kubeconfig_option
@click.option("--namespace", default="safehold", show_default=True, help="The operator's namespace.")
@click.option("--service-account", default="safehold", show_default=True, help="The operator's ServiceAccount.")
@click.option("--remove", is_flag=True, help="Remove what runs left behind; without --yes only say what would go.")
@click.option("--yes", is_flag=True, help="With --remove: really remove it.")
@click.option("--unprotected", is_flag=True, help="List VMs that no policy backs up, and nothing else.")
@output_option
def command(
    kubeconfig: Path,
    namespace: str,
    service_account: str,
    *,
    remove: bool,
    yes: bool,
    unprotected: bool,
    output: str,
) -> int:
    """Check all that backups need, one line each, and list objects of Safehold's own making that nobody needs any more.

    Exits 1 when a check fails. Nothing is changed without --remove --yes.

    With --unprotected: list the VMs that no policy backs up, and why. Exits 1 when there is one that was not left out
    on purpose, by the label safehold.dev/exclude=true.
    """
    if yes and not remove:
        raise UsageError("--yes goes with --remove")
    if unprotected and remove:
        raise UsageError("--unprotected changes nothing: it does not go with --remove")
    refuse_absent(kubeconfig)
    if unprotected:
        return asyncio.run(list_unprotected(kubeconfig, output))
    checkup, removals = asyncio.run(_visit(kubeconfig, namespace, service_account, remove=remove and yes))
    if output == "json":
        show_json(_document(checkup, removals))
    else:
        _show(checkup, removals, would_remove=remove and not yes)
    unfinished = [removal.made_by for removal in removals if not removal.complete]
    if unfinished:
        raise SafeholdError(
            f"Not everything of {', '.join(unfinished)} is gone yet", remedy="something holds it; run the doctor again"
        )
    return 0 if is_well(checkup.verdicts) else 1


async def _visit(
    kubeconfig: Path, namespace: str, service_account: str, *, remove: bool
) -> tuple[Checkup, tuple[_Removal, ...]]:
    async with Cluster.connect(kubeconfig) as cluster:
        checkup = await check_cluster(
            cluster, operator_namespace=namespace, service_account=service_account, now=datetime.now(UTC)
        )
        kinds = {orphan.kind for orphan in checkup.orphans}
        pulls, groups = VM_PULL_BACKUP.kind in kinds, bool(GROUP_ORPHANS & kinds)
        owners = {orphan.owner_uid: orphan.made_by for orphan in checkup.orphans} if remove else {}
        removals = [
            _Removal(
                made_by=made_by,
                complete=await remove_leftovers(cluster, uid, operator_namespace=namespace, pulls=pulls, groups=groups),
            )
            for uid, made_by in owners.items()
        ]
        return checkup, tuple(removals)


def _document(checkup: Checkup, removals: tuple[_Removal, ...]) -> dict[str, object]:
    return {
        "well": is_well(checkup.verdicts),
        "checks": [
            {"check": each.check, "level": each.level, "message": each.message, "remedy": each.remedy}
            for each in checkup.verdicts
        ],
        "orphans": [
            {
                "kind": orphan.kind,
                "namespace": orphan.namespace,
                "name": orphan.name,
                "madeBy": orphan.made_by,
                "ownerUID": orphan.owner_uid,
                "ageSeconds": int(orphan.age.total_seconds()),
                "why": orphan.why,
                "consequence": orphan.consequence,
            }
            for orphan in checkup.orphans
        ],
        "removed": [{"madeBy": removal.made_by, "complete": removal.complete} for removal in removals],
    }


def _show(checkup: Checkup, removals: tuple[_Removal, ...], *, would_remove: bool) -> None:
    for verdict in checkup.verdicts:
        click.echo(_line(verdict))
    if checkup.orphans:
        _show_orphans(checkup.orphans)
    if would_remove and checkup.orphans:
        click.echo("These would be removed, run by run; add --yes to do it.")
    for removal in removals:
        click.echo(
            f"Removed what {removal.made_by} left." if removal.complete else f"Not all of {removal.made_by} went."
        )


def _line(verdict: Verdict) -> str:
    remedy = f"; {verdict.remedy}" if verdict.remedy else ""
    return f"{verdict.level:<4}  {verdict.check}: {verdict.message}{remedy}"


def _show_orphans(orphans: tuple[Orphan, ...]) -> None:
    rows = [
        (
            orphan.kind,
            "/".join(part for part in (orphan.namespace, orphan.name) if part),
            orphan.made_by,
            _age(orphan.age),
            orphan.why,
            orphan.consequence,
        )
        for orphan in orphans
    ]
    show_table("Left behind", ("kind", "name", "made by", "age ", "why", "removing it"), rows)


def _age(age: timedelta) -> str:
    """As kubectl shows it: one unit."""
    seconds = int(age.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
