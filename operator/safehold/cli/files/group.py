"""`safehold files`: the group of its commands."""

import click

from safehold.cli.files.getting import get
from safehold.cli.files.listing import ls


@click.group("files")
def command() -> None:
    """Look into the disks of a restore point, and get files out of it. Nothing is restored, and nothing written to it.

    POINT is an id from 'safehold repo points' with --repository, or the name of a VMBackup with --namespace.
    """


for each in (ls, get):
    command.add_command(each)
