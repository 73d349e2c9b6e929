"""The results as Markdown."""

from collections.abc import Iterable
from statistics import median

from bench.disk import GIB, MIB
from bench.reach import LOADED_SHARE, Verdict, verdicts
from bench.results import Result, Results

_EXPLANATION = """\
Written by `make bench`: every program in one run, on one disk, against one S3 server (SeaweedFS {server}), at its
default settings, the order alternating from round to round. `BENCH_DISK=FILE` takes another raw disk,
`ROWS=full,restore` some rows, `RESTIC=FILE` another restic, `ROUNDS=N` more rounds.

- Runs are cold unless they are called warm: the page cache is dropped before each.
- *CPU* is user and system time, of the program with its child processes, and of the S3 server; *per GiB* that is
  allocated of the disk. *Others* is the share of all cores' time that went elsewhere, kernel threads included: seconds
  beside a large one say little.
- *Peak* is the largest resident memory of a run. *Added* is what a run left in the repository.
- restic and borg read a file because its time has changed, and read holes as zeros, from memory. restic reads a block
  device through `--stdin`. borg writes to a plain folder: it knows no S3. Restores of both are sparse (`--sparse`).
- *scan* is a backup of the unchanged disk that a delta restore is then measured on, one in turn with the other.
- The bench compares every restored disk with its source, outside the measured time.
"""


def markdown(results: Results, disk: str, machine: dict[str, str], versions: dict[str, str]) -> str:
    """The whole page."""
    facts = {**machine, **versions, "image": disk}
    parts = [
        "# Benchmarks",
        _EXPLANATION.format(server=versions["SeaweedFS"]),
        "## Machine",
        _table(["what", "is"], [[name, fact] for name, fact in facts.items()]),
        *([_warning(results)] if _warning(results) else []),
        "## Reach",
        _table(
            ["what", "reach", "found", "by CPU seconds", "met", "bounded by"],
            [_verdict_line(each) for each in verdicts(results)],
        ),
        "## All figures",
        _table(
            [
                "row",
                "program",
                "seconds (least / median)",
                "CPU s",
                "per GiB",
                "server CPU s",
                "others",
                "peak MiB",
                "added MiB",
                "objects",
            ],
            [_line(runs) for runs in _groups(results)],
        ),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _warning(results: Results) -> str:
    loaded = [run for run in results.runs if run.usage.others_share > LOADED_SHARE]
    if not loaded:
        return ""
    return (
        f"**The machine was busy:** in {len(loaded)} of {len(results.runs)} runs other programs took more than "
        f"{LOADED_SHARE:.0%} of the cores. Compare CPU seconds, not seconds."
    )


def _groups(results: Results) -> list[list[Result]]:
    keys = dict.fromkeys((run.row, run.program) for run in results.runs)
    return [results.of(*key) for key in keys]


def _line(runs: list[Result]) -> list[str]:
    seconds = [run.usage.seconds for run in runs]
    added = [run.added for run in runs if run.added]
    return [
        runs[0].row,
        runs[0].program,
        f"{min(seconds):.2f} / {median(seconds):.2f}",
        f"{median(run.usage.cpu_seconds for run in runs):.2f}",
        _per_gib(runs),
        f"{median(run.usage.server_cpu_seconds for run in runs):.2f}",
        f"{median(run.usage.others_share for run in runs):.0%}",
        f"{max(run.usage.peak_bytes for run in runs) / MIB:.0f}",
        f"{median(each.size_bytes for each in added) / MIB:,.2f}" if added else "",
        f"{median(each.objects for each in added):,.0f}" if added else "",
    ]


def _per_gib(runs: list[Result]) -> str:
    costs = [run.usage.cpu_seconds / (run.data_bytes / GIB) for run in runs if run.data_bytes]
    return f"{median(costs):.2f}" if costs else ""


def _verdict_line(verdict: Verdict) -> list[str]:
    met = {None: "", True: "yes", False: "**no**"}[verdict.met]
    return [verdict.what, verdict.target, verdict.found, verdict.cpu, met, verdict.bound]


def _table(head: list[str], lines: Iterable[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def disk_text(name: str, size_bytes: int, allocated_bytes: int) -> str:
    """How a disk is called in the report."""
    return f"{name}, {size_bytes / GIB:.1f} GiB, {allocated_bytes / GIB:.1f} GiB allocated"
