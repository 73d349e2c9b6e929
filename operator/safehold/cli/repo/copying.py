"""`safehold repo copy`."""

from pathlib import Path

import click

from safehold.cli.progress import step_progress
from safehold.cli.repo.options import Place, domains_option, output_option, with_place
from safehold.cli.repo.output import document_of, show_json, show_table, size
from safehold.cli.repository import find_key, open_store, stop_on_signals
from safehold.engine.maintenance.copying import Copied, copy_points
from safehold.engine.names import PointName
from safehold.engine.repository import Domain, Repository
from safehold.errors import PointError, UsageError


@click.command("copy")
@click.argument("restore_points", nargs=-1, metavar="[POINT]...")
@with_place
@domains_option
@click.option("--to", "to_repository", required=True, help="The other repository: s3://BUCKET or s3://BUCKET/PREFIX.")
@click.option("--to-endpoint-url", help="Its S3 service; without it, that of --endpoint-url.")
@click.option(
    "--to-key-file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Its key, from 'safehold key new'; another one than this repository's is safer.",
)
@click.option(
    "--to-credentials-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="An AWS credentials file whose profile 'default' may write there; without it, the same credentials as here.",
)
@output_option
def copy(
    place: Place,
    restore_points: tuple[str, ...],
    key_domains: tuple[str, ...],
    to_repository: str,
    to_endpoint_url: str | None,
    to_key_file: Path,
    to_credentials_file: Path | None,
    output: str,
) -> None:
    """Copy restore points, or all, to another repository, under its key. Nothing is sent that is there already.

    The other repository is laid out if there is none. A copy that was cut off goes on where it ended.
    """
    stop = stop_on_signals()
    domains = place.domains(key_domains)
    chosen = _chosen(domains, restore_points)
    store = open_store(to_repository, to_endpoint_url or place.endpoint_url, to_credentials_file)
    other = Repository.open(store, find_key(to_key_file), create=True)
    if other.id == place.open().id:
        raise UsageError("The other repository is this one", remedy="name another place with --to")
    done: list[Copied] = []
    with step_progress() as advance:
        for domain in domains:
            names = chosen[domain.name]
            if names is None or names:
                there = other.domain(domain.name, create=True)
                done += copy_points(domain, there, names, stop=stop, advance=advance)
    if output == "json":
        show_json([document_of(each) for each in done])
        return
    rows = [(each.vm, each.source, each.copy, size(each.bytes_stored) if each.new else "was there") for each in done]
    show_table(f"{len(rows)} restore points", ["VM", "Restore point", "Its copy", "Stored "], rows)


def _chosen(domains: list[Domain], restore_points: tuple[str, ...]) -> dict[str, list[PointName] | None]:
    """The points to copy of each domain, None for all. PointError if one does not exist anywhere."""
    if not restore_points:
        return {domain.name: None for domain in domains}
    wanted = {PointName.of_id(point) for point in restore_points}
    found = {domain.name: [name for name in domain.points.all() if name in wanted] for domain in domains}
    absent = wanted - {name for names in found.values() for name in names}
    if absent:
        raise PointError(
            f"The restore point {min(absent, key=lambda name: name.id).id} does not exist, and nothing was copied",
            remedy="look at 'safehold repo points'",
        )
    return dict(found)
