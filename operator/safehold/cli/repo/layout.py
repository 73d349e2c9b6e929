"""`safehold repo init`."""

import click

from safehold.cli.repo.options import Place, output_option, with_place
from safehold.cli.repo.output import show_json
from safehold.engine import names
from safehold.engine.keys.rings import find_key_ring
from safehold.engine.repository import Repository
from safehold.errors import StoreError


@click.command("init")
@with_place
@click.option(
    "--key-domain",
    "key_domains",
    multiple=True,
    metavar="DOMAIN",
    help="Make the keys of this key domain too: target, or namespace/UID. May be given several times.",
)
@output_option
def init(place: Place, key_domains: tuple[str, ...], output: str) -> None:
    """Lay out a repository: its keys, and what explains it to whoever finds the bucket.

    Backups do that too when they are the first. A repository that the key opens is left as it is; a place that holds
    another key's repository, or something else, is refused.
    """
    store, key = place.store(), place.key()
    exists = find_key_ring(store, key, names.REPOSITORY_SCOPE) is not None
    stranger = None if exists else next(store.list("", limit=1), None)
    if stranger is not None:
        raise StoreError(
            f"{place.repository} holds something else than a repository",
            found=stranger.name,
            remedy="choose an empty prefix",
        )
    repository = Repository.open(store, key, create=True)
    for name in key_domains:
        repository.domain(name, create=True)
    if output == "json":
        show_json({"repository": repository.id, "recipient": key.recipient, "created": not exists})
        return
    said = "was there already" if exists else "is laid out"
    click.echo(f"The repository {repository.id} {said} at {place.repository}.")
    if not exists:
        click.echo(f"It opens with the key of recipient {key.recipient} only: keep a copy of the key elsewhere.")
