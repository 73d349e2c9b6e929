"""`python -m bench.fleet`: measure the controller among thousands of VMs, print the table, and write it down."""

import asyncio
import shutil
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from bench import machine
from bench.fleet.installation import running_installation
from bench.fleet.population import populate
from bench.fleet.report import markdown
from bench.fleet.shape import Shape
from bench.fleet.stages import (
    ACTIVE_RUNS,
    measure_burst,
    measure_idle,
    measure_pace,
    measure_restart,
    running_fleet,
)
from bench.measure import BenchError
from safehold.errors import SafeholdError
from sandbox.demo.errors import StoryError
from sandbox.program import ProgramError

_REPORT = Path(__file__).parents[3] / "docs" / "benchmarks-fleet.md"
_FULL = Shape()
_IDLE_SECONDS = 310.0
"""One round of everything that comes by itself: each policy's look and the sweep, every 5 minutes."""
_START_LIMIT_SECONDS = 60


@click.command()
@click.option("--vms", envvar="FLEET_VMS", type=click.IntRange(1), default=_FULL.vms, show_default=True)
@click.option("--namespaces", type=click.IntRange(1), default=_FULL.namespaces, show_default=True)
@click.option("--policies", type=click.IntRange(1), default=_FULL.policies, show_default=True)
@click.option("--catalogue", type=click.IntRange(0), default=_FULL.catalogue, show_default=True)
@click.option("--minutes", envvar="FLEET_MINUTES", type=click.IntRange(1, 60), default=10, show_default=True)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep state and logs in this folder.")
def main(vms: int, namespaces: int, policies: int, catalogue: int, minutes: int, keep: Path | None) -> None:
    """Measure one controller; the whole fleet's figures are written to docs/benchmarks-fleet.md."""
    shape = Shape(vms=vms, namespaces=namespaces, policies=policies, catalogue=catalogue)
    console = Console()
    folder = keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        page = asyncio.run(_measure(shape, minutes, folder.resolve(), console))
    except (BenchError, ProgramError, StoryError, SafeholdError) as error:
        raise click.ClickException(str(error)) from error
    except asyncio.CancelledError:
        raise SystemExit(1) from None
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(page)
    if shape == _FULL:
        _REPORT.write_text(page)
        console.print(f"Wrote {_REPORT}")


async def _measure(shape: Shape, minutes: int, folder: Path, console: Console) -> str:
    def say(text: str) -> None:
        console.print(f"{datetime.now(UTC):%H:%M:%S} {text}", highlight=False)

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # ends the processes in order
    say(f"Writing {shape.vms} VMs with {shape.catalogue} VMBackups each")
    vm_bytes = populate(folder / "apiserver", shape, datetime.now(UTC))
    say("Starting the API server, installing the chart, starting the controller")
    async with (
        running_installation(folder) as installation,
        running_fleet(installation, shape, folder) as (fleet, seconds),
    ):
        fleet.figures.at_most("Start: steady after", seconds, _START_LIMIT_SECONDS, "s")
        say(f"Idle for {_IDLE_SECONDS:.0f} s")
        await measure_idle(fleet, _IDLE_SECONDS)
        say(f"{minutes} minutes of an hour over which the policies are spread")
        await measure_pace(fleet, minutes)
        say("All at once")
        await measure_burst(fleet)
        say("Restart")
        await measure_restart(fleet)
        return markdown(
            fleet.figures,
            shape,
            vm_bytes=vm_bytes,
            minutes=minutes,
            active=ACTIVE_RUNS,
            machine=machine.facts(folder),
        )


if __name__ == "__main__":
    main(prog_name="python -m bench.fleet")
