"""`safehold release`: let retention decide about a restore point again."""

import click

from safehold.cli.holds.places import Holder, with_holder
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_json


@click.command("release", short_help="Let retention decide about a held restore point again.")
@click.argument("name", metavar="POINT|VMBACKUP")
@with_holder
@output_option
def command(holder: Holder, name: str, output: str) -> None:
    """Take the holds off a restore point, where `safehold hold` with the same options has put them.

    A point that is held both in the bucket and by its VMBackup stays until both are released.
    """
    if holder.repository is not None:
        count = holder.domain_of(name).holds.release(name)
        found: dict[str, object] = {"restorePoint": name, "released": count}
        said = f"Took {count} holds off the restore point {name}" if count else f"The restore point {name} was not held"
    else:
        backup = holder.patch(name, None)
        found = {"restorePoint": backup.restore_point, "namespace": backup.namespace, "vmBackup": backup.name}
        said = f"VMBackup {backup.namespace}/{backup.name} and its restore point are not held any more"
    if output == "json":
        show_json({**found, "held": False})
        return
    click.echo(f"{said}.")
