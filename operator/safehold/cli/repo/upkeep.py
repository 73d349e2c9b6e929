"""`safehold repo prune` and `safehold repo compact`."""

import click

from safehold.cli.progress import step_progress
from safehold.cli.repo.options import Place, domains_option, output_option, with_place
from safehold.cli.repo.output import document_of, show_facts, show_json, size
from safehold.engine.maintenance.compaction import compact as compact_domain
from safehold.engine.maintenance.prune import prune as prune_domain

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")


@click.command("prune")
@with_place
@domains_option
@_DRY_RUN
@output_option
def prune(place: Place, key_domains: tuple[str, ...], dry_run: bool, output: str) -> None:
    """Free what no restore point needs, in two phases, while backups go on.

    What is not needed now is condemned: no run builds on it any more. A prune that runs 49 hours later or more, by the
    store's clock, deletes it, unless a point has come to need it. So run it regularly: once a day, or once a week.
    """
    with step_progress() as advance:
        found = {
            domain.name: prune_domain(domain, dry_run=dry_run, advance=advance) for domain in place.domains(key_domains)
        }
    if output == "json":
        show_json([{"domain": name, "dryRun": dry_run} | document_of(each) for name, each in found.items()])
        return
    would = "to be " if dry_run else ""
    for name, each in found.items():
        show_facts(
            f"Key domain {name}",
            {
                "restore points": each.points,
                f"{would}deleted": f"{each.swept_packs} packs, {size(each.swept_bytes)}, condemned earlier",
                f"leftovers {would}deleted": f"{each.leftover_packs} packs, {size(each.leftover_bytes)}",
                f"uploads {would}ended": each.aborted_uploads,
                f"{would}condemned": f"{each.condemned_packs} packs, {size(each.condemned_bytes)}",
                "still waiting": f"{each.waiting_packs} packs",
            },
        )


@click.command("compact")
@with_place
@domains_option
@_DRY_RUN
@output_option
def compact(place: Place, key_domains: tuple[str, ...], dry_run: bool, output: str) -> None:
    """Rewrite packs of which less than 60 % is needed, join small ones, and fold the index.

    Frees space that `prune` cannot, for the price of moving what is still needed; also saves requests. What is replaced
    is deleted by a `prune` 49 hours later or more.
    """
    with step_progress() as advance:
        found = {
            domain.name: compact_domain(domain, dry_run=dry_run, advance=advance)
            for domain in place.domains(key_domains)
        }
    if output == "json":
        show_json([{"domain": name, "dryRun": dry_run} | document_of(each) for name, each in found.items()])
        return
    would = "to be " if dry_run else ""
    for name, each in found.items():
        show_facts(
            f"Key domain {name}",
            {
                f"sparse packs {would}rewritten": each.sparse_packs,
                f"small packs {would}joined": each.small_packs,
                "bytes in them": size(each.rewritten_bytes),
                "bytes in new packs": size(each.new_bytes) if not dry_run else "not known yet",
                f"packs {would}condemned": each.condemned_packs,
                "index segments folded": each.folded_segments if not dry_run else "not known yet",
            },
        )
