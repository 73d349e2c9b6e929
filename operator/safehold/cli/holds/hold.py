"""`safehold hold`: keep a restore point, whatever retention says."""

from datetime import UTC, datetime

import click

from safehold.cli.holds.places import Holder, with_holder
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_json
from safehold.errors import UsageError


@click.command("hold", short_help="Keep a restore point, whatever retention says.")
@click.argument("name", metavar="POINT|VMBACKUP")
@click.option("--reason", required=True, help="Why; others see it before they release the point.")
@with_holder
@output_option
def command(holder: Holder, name: str, reason: str, output: str) -> None:
    """Keep a restore point until it is released: no retention lets it go, and nobody can have it forgotten.

    In a cluster the VMBackup is held, found by its name or by its point's id. With --repository the point is held in
    the bucket, which maintenance heeds: for points that have no VMBackup any more.
    """
    if not reason.strip():
        raise UsageError("--reason is empty", remedy="say why, for whoever thinks of releasing the point")
    if holder.repository is not None:
        held = holder.domain_of(name).holds.place(name, reason, datetime.now(UTC).replace(microsecond=0))
        found: dict[str, object] = {"restorePoint": name, "since": held.since.isoformat()}
        where = "in the repository"
    else:
        backup = holder.patch(name, reason)
        found = {"restorePoint": backup.restore_point, "namespace": backup.namespace, "vmBackup": backup.name}
        where = f"by VMBackup {backup.namespace}/{backup.name}"
    if output == "json":
        show_json({**found, "held": True, "reason": reason})
        return
    click.echo(f"The restore point {found['restorePoint'] or 'to come'} is held {where}: {reason}")
