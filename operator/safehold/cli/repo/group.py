"""`safehold repo`: the group of its commands."""

import click

from safehold.cli.repo.catalogue import forget, points
from safehold.cli.repo.copying import copy
from safehold.cli.repo.inspection import check, stats
from safehold.cli.repo.layout import init
from safehold.cli.repo.upkeep import compact, prune


@click.group("repo")
def command() -> None:
    """Look after a repository: what is in it, is it whole, free what is not needed. Needs no cluster."""


for each in (init, points, check, prune, compact, copy, stats, forget):
    command.add_command(each)
