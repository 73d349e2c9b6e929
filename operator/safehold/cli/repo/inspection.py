"""`safehold repo check` and `safehold repo stats`."""

import click

from safehold.cli.progress import step_progress
from safehold.cli.repo.options import Place, domains_option, output_option, with_place
from safehold.cli.repo.output import document_of, show_facts, show_json, show_table, size
from safehold.engine.maintenance.check import Checked
from safehold.engine.maintenance.check import check as check_domain
from safehold.engine.maintenance.progress import Advance
from safehold.engine.maintenance.reindexing import reindex
from safehold.engine.maintenance.statistics import Statistics, statistics
from safehold.engine.plaintext.objects import check_texts
from safehold.engine.repository import Repository
from safehold.errors import IntegrityError


class _Percent(click.ParamType[float]):
    name = "PERCENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            percent = float(str(value).removesuffix("%"))
        except ValueError:
            percent = -1
        if not 0 < percent <= 100:
            self.fail(f"{value} is not a percentage above 0 and up to 100", param, ctx)
        return percent


@click.command("check")
@with_place
@domains_option
@click.option(
    "--read-data",
    type=_Percent(),
    is_flag=False,
    flag_value=100.0,
    default=None,
    help="Read so many percent of the packs, chosen at random, and open all that is in them; without a number, all.",
)
@click.option(
    "--repair-index",
    is_flag=True,
    help="Where the index lacks what points need, make it again from the packs' tables of contents, and check again.",
)
@output_option
def check(place: Place, key_domains: tuple[str, ...], read_data: float | None, repair_index: bool, output: str) -> None:
    """Find out whether every restore point can be restored.

    Without --read-data: does every manifest and map open, does the index know every chunk, is every pack there with its
    length. Exit code 1 if anything is damaged; what killed runs left behind is no damage, `prune` collects it.
    """
    repository = place.open()
    texts = [str(problem) for problem in check_texts(repository.store, repository.keys)]
    with step_progress() as advance:
        found = [
            _checked(repository, name, read_data or 0, repair_index, advance)
            for name in key_domains or repository.domains()
        ]
    if output == "json":
        sound = not _damages(texts, found)
        show_json({"sound": sound, "texts": texts, "keyDomains": [document_of(each) for each in found]})
    else:
        _show(texts, found)
    if damages := _damages(texts, found):
        hit = {loss.point for each in found for loss in each.losses} | {p for e in found for p in e.unreadable_points}
        raise IntegrityError(
            f"The repository is damaged: {damages} problems, {len(hit)} restore points hit",
            remedy="keep the bucket as it is, restore what is not hit, and forget the points that are before you prune",
        )


def _checked(repository: Repository, name: str, read_percent: float, repair: bool, advance: Advance) -> Checked:
    found = check_domain(repository.domain(name, create=False), read_percent=read_percent, advance=advance)
    if not (repair and found.index_damaged):
        return found
    done = reindex(repository.domain(name, create=False), advance)
    click.echo(
        f"Key domain {name}: named {done.packs} packs again and removed {len(done.removed_segments)} damaged segments.",
        err=True,
    )
    return check_domain(repository.domain(name, create=False), read_percent=read_percent, advance=advance)


def _damages(texts: list[str], found: list[Checked]) -> int:
    return len(texts) + sum(len(each.damages) for each in found)


def _show(texts: list[str], found: list[Checked]) -> None:
    for each in found:
        show_facts(
            f"Key domain {each.domain}",
            {
                "restore points": each.points,
                "chunks and map nodes": each.chunks,
                "packs": f"{each.packs}, of which {each.packs_read} were read",
                "damage": len(each.damages) or "none",
                "leftover packs": each.leftover_packs,
                "condemned packs": each.condemned_packs,
                "abandoned uploads": each.abandoned_uploads,
            },
        )
    for problem in [*texts, *(problem for each in found for problem in each.damages)]:
        click.echo(f"Damage: {problem}")
    for point in (point for each in found for point in each.unreadable_points):
        click.echo(f"Unreadable: {point}")
    rows = [
        (loss.namespace, loss.vm, loss.point, loss.volume, f"{loss.offset:,}", f"{loss.length:,}")
        for each in found
        for loss in each.losses
    ]
    if rows:
        columns = ["Namespace", "VM", "Restore point", "Volume", "From byte ", "Bytes "]
        show_table("What cannot be restored", columns, rows)


@click.command("stats")
@with_place
@domains_option
@output_option
def stats(place: Place, key_domains: tuple[str, ...], output: str) -> None:
    """Tell what is stored, how much of it restore points need, and what deduplication and compression save."""
    with step_progress() as advance:
        found = [statistics(domain, advance) for domain in place.domains(key_domains)]
    if output == "json":
        show_json([_described(each) for each in found])
        return
    for each in found:
        show_facts(
            f"Key domain {each.domain}",
            {
                "restore points": f"{each.points} of {each.vms} VMs",
                "logical": f"{size(each.logical_bytes)} in all volumes of all points",
                "needed": f"{size(each.live_bytes)}, deduplicated {each.deduplication or 1} times",
                "stored for it": f"{size(each.live_stored_bytes)}, compressed {each.compression or 1} times",
                "not needed": f"{size(each.dead_stored_bytes)} in packs",
                "packs": each.packs,
                "objects": f"{each.objects}, {size(each.stored_bytes)}",
            },
        )


def _described(found: Statistics) -> dict[str, object]:
    return document_of(found) | {"deduplication": found.deduplication, "compression": found.compression}
