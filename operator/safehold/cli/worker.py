"""`safehold worker`: the entry of a Job's container."""

import click

from safehold.settings import WorkerSettings
from safehold.worker.entry import VERBS, Verb, run_worker


@click.command("worker", hidden=True)
@click.argument("verb", type=click.Choice(list(VERBS)))
def command(verb: Verb) -> int:
    """Carry out the run in SAFEHOLD_RUN_FOLDER."""
    return run_worker(verb, WorkerSettings())
