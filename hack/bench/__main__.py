"""`python -m bench`: run the rows, print the report, and write it where it is kept."""

import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from bench import machine
from bench.disk import make_image, sparse_copy
from bench.measure import BenchError
from bench.programs.base import Program
from bench.programs.borg import Borg
from bench.programs.restic import Restic, find_restic
from bench.programs.safehold import Safehold
from bench.report import disk_text, markdown
from bench.rows import changed_blocks, clones, history, large_index, maps, sparse
from bench.rows.context import Context
from bench.server import Server
from sandbox.objectstore.server import running_object_store

_FAMILIES: list[tuple[list[str], Callable[[Context], None]]] = [
    (history.ROWS, history.measure_history),
    (clones.ROWS, clones.measure_clones),
    (sparse.ROWS, sparse.measure_sparse),
    (changed_blocks.ROWS, changed_blocks.measure_told_changes),
    (maps.ROWS, maps.measure_maps),
    (large_index.ROWS, large_index.measure_large_index),
]
_ALL_ROWS = [row for rows, _ in _FAMILIES for row in rows]
_REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@click.command()
@click.option(
    "--disk",
    envvar="BENCH_DISK",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A raw image or block device, copied before it is changed; else an ext4 image of /usr is made.",
)
@click.option("--rows", envvar="ROWS", default="", help=f"Some of {', '.join(_ALL_ROWS)}; else all.")
@click.option("--rounds", envvar="ROUNDS", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--folder",
    envvar="BENCH_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Where images, repositories and programs are kept; 20 GiB.",
)
def main(disk: Path | None, rows: str, rounds: int, folder: Path) -> None:
    """Measure Safehold beside restic, borg and dd. All rows together write docs/benchmarks.md."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the server and removes the repositories in order
    wanted = _chosen(rows)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    with tempfile.TemporaryDirectory(dir=folder.resolve(), prefix="run-") as temporary, ExitStack() as stack:
        work = Path(temporary)
        try:
            console.print("Making the disk")
            image = sparse_copy(disk, work / "given.img") if disk else make_image(folder.resolve() / "usr.img")
            store = stack.enter_context(running_object_store(work / "store"))
            context = _context(Server(store), image, work, folder.resolve(), rounds, wanted, console)
            for names, measure_family in _FAMILIES:
                if wanted.intersection(names):
                    measure_family(context)
        except BenchError as problem:
            raise click.ClickException(str(problem)) from problem
        page = _page(context, disk)
    click.echo(page)
    if wanted == frozenset(_ALL_ROWS) and disk is None:
        _REPORT.write_text(page)
        console.print(f"Wrote {_REPORT}")


def _chosen(rows: str) -> frozenset[str]:
    chosen = [row for row in rows.split(",") if row] or _ALL_ROWS
    unknown = sorted(set(chosen).difference(_ALL_ROWS))
    if unknown:
        raise click.UsageError(f"There is no row {', '.join(unknown)}; there are {', '.join(_ALL_ROWS)}")
    return frozenset(chosen)


def _context(
    server: Server, image: Path, work: Path, kept: Path, rounds: int, wanted: frozenset[str], console: Console
) -> Context:
    others: list[Program] = []
    for name, find in (
        ("restic", lambda: Restic(server, work, find_restic(kept))),
        ("borg", lambda: Borg(work, kept)),
    ):
        try:
            others.append(find())
        except BenchError as problem:
            console.print(f"Without {name}: {problem}")
    return Context(
        server=server,
        safehold=Safehold(server, work),
        others=others,
        image=image,
        folder=work,
        rounds=rounds,
        wanted=wanted,
        say=lambda text: console.print(text, highlight=False, soft_wrap=True),
    )


def _page(context: Context, disk: Path | None) -> str:
    status = context.image.stat()
    text = disk_text(disk.name if disk else "ext4 with files of /usr", status.st_size, status.st_blocks * 512)
    versions = {program.name: program.version for program in (context.safehold, *context.others)}
    return markdown(
        context.results, text, machine.facts(context.folder), {**versions, "SeaweedFS": context.server.version}
    )


if __name__ == "__main__":
    main(prog_name="python -m bench")
