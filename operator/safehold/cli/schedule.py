"""`safehold simulate schedule`: days of backups of a fleet, as Safehold plans them, beside plain cron."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic.alias_generators import to_camel

from safehold.cli.fleet_files import exported, made_up, played_policies
from safehold.cli.policy_files import read_policies
from safehold.cli.repo.options import output_option
from safehold.cli.repo.output import show_json, show_table
from safehold.errors import UsageError
from safehold.plan.load.figures import Figures, figures_of
from safehold.plan.load.simulation import Limits, play
from safehold.plan.summary import readable_bytes, readable_duration

_LATE_SHOWN = 10
_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


def _duration(value: timedelta) -> str:
    return readable_duration(value.total_seconds())


_ROWS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "runs": ("backups", str),
    "left_out": ("left out, the earlier one being active", str),
    "missed_deadlines": ("missed RPOs: ended after they were due", str),
    "missed_windows": ("missed windows: began after the hours closed", str),
    "late_machines": ("VMs that missed one of them", lambda value: str(len(value))),
    "makespan": ("makespan: from run time to the last end, at most", _duration),
    "usual_makespan": ("makespan, as usual", _duration),
    "usual_wait": ("wait for a turn, as usual", _duration),
    "careful_wait": ("wait, of three in four at most", _duration),
    "longest_wait": ("wait, the longest", _duration),
    "oldest_point": ("age of a newest point, at most", _duration),
    "peak_runs": ("peak: backups at once", str),
    "peak_bytes_per_second": ("peak: sent to the targets", lambda value: f"{readable_bytes(int(value))}/s"),
}


@click.command("schedule")
@click.option("-f", "--filename", required=True, type=_FILE, help="A YAML file with policies, or - for standard input.")
@click.option("--fleet", type=_FILE, help="What `kubectl get vmbackups.safehold.dev -A -o json` printed.")
@click.option("--vms", type=click.IntRange(1, 20_000), help="Without --fleet: so many made-up VMs.  [default: 200]")
@click.option(
    "--namespaces", type=click.IntRange(1, 500), default=5, show_default=True, help="Of made-up VMs; half are in one."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another one draws other costs of runs.")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="The first day.  [default: today]")
@click.option(
    "--max-active-runs", type=click.IntRange(1, 1000), default=4, show_default=True, help="The operator's limit."
)
@click.option("--max-active-runs-per-target", type=click.IntRange(1, 1000), help="The limit of each target.")
@output_option
def command(
    filename: Path,
    fleet: Path | None,
    vms: int | None,
    namespaces: int,
    seed: int,
    days: int,
    start: datetime | None,
    max_active_runs: int,
    max_active_runs_per_target: int | None,
    output: str,
) -> None:
    """Play a fleet's backups over days, as Safehold plans them and as plain cron would start them.

    Both pay the same costs and keep the same limits. Plain cron starts all VMs of a run at once, first come first
    served; it knows no spread, no turns between namespaces and no deadlines. Backups that fail are not played.
    """
    if fleet is not None and vms is not None:
        raise UsageError("--fleet and --vms exclude each other")
    machines = exported(fleet, seed) if fleet else made_up(vms or 200, namespaces, seed)
    policies = played_policies(read_policies(filename), machines)
    begin = (start or datetime.now(UTC)).replace(tzinfo=UTC, hour=0, minute=0, second=0, microsecond=0)
    per_target = max_active_runs_per_target
    limits = Limits(all=max_active_runs, targets={policy.pool: per_target for policy in policies} if per_target else {})
    planned, cron = (
        figures_of(play(policies, machines.fleet, begin, begin + timedelta(days=days), limits, planned=each))
        for each in (True, False)
    )
    if output == "json":
        show_json(
            {
                "start": begin.isoformat(),
                "days": days,
                "vms": len({vm for policy in policies for vm in policy.vms}),
                "safehold": _document(planned),
                "cron": _document(cron),
            }
        )
        return
    _show(planned, cron, f"{days} days of {len({vm for policy in policies for vm in policy.vms})} VMs")


def _show(planned: Figures, cron: Figures, title: str) -> None:
    rows = [(told, shown(getattr(planned, name)), shown(getattr(cron, name))) for name, (told, shown) in _ROWS.items()]
    show_table(title, ("", "Safehold ", "plain cron "), rows)
    if planned.late_machines:
        named = ", ".join("/".join(vm) for vm in planned.late_machines[:_LATE_SHOWN])
        click.echo(f"Most often late with Safehold: {named}")


def _document(figures: Figures) -> dict[str, object]:
    """Times in seconds; of the VMs that were late, the first ten."""
    found = {to_camel(name): _plain(value) for name, value in asdict(figures).items()}
    return {**found, "lateMachines": len(figures.late_machines), "late": found["lateMachines"]}


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return ["/".join(vm) for vm in value[:_LATE_SHOWN]] if isinstance(value, tuple) else value
