"""`safehold simulate`: what a policy will do, before it does it. Offline, so that a pull request can show it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from safehold.cli.policy_files import PolicyFile, read_policies
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_facts, show_json, show_table
from safehold.cli.schedule import command as schedule
from safehold.plan.policy.schedule import Schedule
from safehold.plan.retention.rules import SHARED
from safehold.plan.retention.runs import coming_runs, runs_of
from safehold.retention.simulation import Simulated, simulate

_MINUTE = "%Y-%m-%d %H:%M"


@click.group("simulate")
def command() -> None:
    """Show what a policy will do. Needs no cluster."""


command.add_command(schedule)


@command.command("retention")
@click.option(
    "-f",
    "--filename",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="A YAML file with policies, or - for standard input; other objects in it are passed over.",
)
@click.option("--years", type=click.IntRange(1, 30), default=3, show_default=True, help="How far ahead.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="When the first run may be.  [default: today]")
@click.option(
    "--maintenance",
    "maintenance_line",
    default="0 4 * * *",
    show_default=True,
    help="When the target forgets points: its spec.maintenance.schedule, in UTC.",
)
@click.option("--deletions", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many to foretell.")
@output_option
def retention(
    filename: Path, years: int, start: datetime | None, maintenance_line: str, deletions: int, output: str
) -> None:
    """Show which restore points of a VM there will be over the years, the most at once, and which go next, and why.

    The VM begins without a point, and every run succeeds.
    """
    begin = (start or datetime.now(UTC)).replace(tzinfo=UTC, hour=0, minute=0, second=0, microsecond=0)
    ends = tuple(_years_after(begin, number + 1) for number in range(years))
    maintenance = Schedule.parse(maintenance_line, "UTC")
    found = [
        (
            policy,
            simulate(
                policy.rules,
                _governed(policy, begin),
                runs_of(maintenance, begin),
                year_ends=ends,
                upcoming=deletions,
            ),
        )
        for policy in read_policies(filename)
    ]
    if output == "json":
        show_json([_document(policy, result) for policy, result in found])
        return
    for policy, result in found:
        _show(policy, result, years)


def _governed(policy: PolicyFile, begin: datetime) -> Iterator[tuple[datetime, str]]:
    """The runs, each with the tier whose rules its point goes by."""
    return ((at, tier if tier in policy.rules else SHARED) for at, tier in coming_runs(policy.timing, begin))


def _years_after(begin: datetime, years: int) -> datetime:
    try:
        return begin.replace(year=begin.year + years)
    except ValueError:  # begun on a 29 February
        return begin.replace(year=begin.year + years, month=3, day=1)


def _show(policy: PolicyFile, result: Simulated, years: int) -> None:
    peak = f"{result.peak} points, first on {result.peak_at:{_MINUTE}}" if result.peak_at else "no point"
    show_facts(
        f"{policy.kind} {policy.name}, {years} years",
        {"points made": result.made, "points forgotten": result.forgotten, "most at once": peak},
    )
    click.echo()
    rows = [
        (f"{end.at:%Y-%m-%d}", str(end.points), f"{end.oldest:{_MINUTE}}" if end.oldest else "") for end in result.years
    ]
    show_table("At the end of each year", ["Date", "Points ", "Oldest (UTC)"], rows)
    kept = [
        (
            f"{verdict.point.time:{_MINUTE}}",
            verdict.point.governor or "",
            "stays" if verdict.keep else "goes next",
            verdict.reason,
        )
        for verdict in result.kept
    ]
    show_table("Points at the end", ["Point (UTC)", "Tier", "", "Why"], kept)
    going = [(f"{each.at:{_MINUTE}}", f"{each.time:{_MINUTE}}", each.governor, each.reason) for each in result.next]
    show_table("Next deletions", ["When (UTC)", "Point (UTC)", "Tier", "Why"], going)


def _document(policy: PolicyFile, result: Simulated) -> dict[str, object]:
    return {
        "kind": policy.kind,
        "namespace": policy.namespace,
        "name": policy.name,
        "made": result.made,
        "forgotten": result.forgotten,
        "peak": result.peak,
        "peakTime": result.peak_at.isoformat() if result.peak_at else None,
        "years": [
            {"time": end.at.isoformat(), "points": end.points, "oldest": end.oldest.isoformat() if end.oldest else None}
            for end in result.years
        ],
        "points": [
            {
                "time": verdict.point.time.isoformat(),
                "tier": verdict.point.governor or None,
                "keep": verdict.keep,
                "rule": verdict.rule,
                "reason": verdict.reason,
            }
            for verdict in result.kept
        ],
        "nextDeletions": [
            {
                "time": each.at.isoformat(),
                "point": each.time.isoformat(),
                "tier": each.governor or None,
                "reason": each.reason,
            }
            for each in result.next
        ],
    }
