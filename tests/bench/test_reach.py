"""Figures and what is said of them."""

import pytest

from bench.disk import GIB, MIB
from bench.measure import Usage, cores
from bench.reach import bound_of, verdicts
from bench.report import markdown
from bench.results import Result, Results
from bench.rows.history import SCAN
from bench.server import Footprint


def a_run(
    row: str,
    program: str,
    seconds: float,
    *,
    cpu: float = 0.0,
    server: float = 0.0,
    others: float = 0.0,
    read: int = 0,
    peak: int = 0,
    added: int | None = None,
) -> Result:
    """A run that used this."""
    usage = Usage(
        seconds=seconds,
        cpu_seconds=cpu,
        server_cpu_seconds=server,
        others_share=others,
        peak_bytes=peak,
        disk_read_bytes=read,
        disk_written_bytes=0,
        output="",
    )
    footprint = None if added is None else Footprint(added, 3)
    return Result(row=row, program=program, usage=usage, data_bytes=2 * GIB, added=footprint)


@pytest.mark.parametrize(("ours", "met"), [(8.0, True), (10.0, False)])
def test_speed_is_the_ratio_of_medians(ours: float, met: bool) -> None:
    """A full backup has to be five times as fast as restic; rounds count by their median."""
    runs = [a_run("full", "restic", seconds) for seconds in (39.0, 41.0, 400.0)]
    runs += [a_run("full", "safehold", seconds) for seconds in (1.0, ours, 90.0)]
    (verdict,) = [each for each in verdicts(Results(runs)) if each.what == "Full backup: speed"]
    assert verdict.found == f"{41 / ours:.2f} times"
    assert verdict.met is met


@pytest.mark.parametrize(("added", "met"), [(105, True), (106, False)])
def test_stored_bytes_are_compared(added: int, met: bool) -> None:
    """At most 1.05 times restic's."""
    runs = [a_run("full", "restic", 1, added=100), a_run("full", "safehold", 1, added=added)]
    (verdict,) = [each for each in verdicts(Results(runs)) if each.what == "Full backup: stored"]
    assert verdict.met is met


def test_the_largest_memory_of_all_rows_counts() -> None:
    """One row that is over the limit is enough; other programs' memory is not ours."""
    runs = [a_run("full", "safehold", 1, peak=90 * MIB), a_run("restore", "safehold", 1, peak=201 * MIB)]
    (verdict,) = verdicts(Results([*runs, a_run("full", "restic", 1, peak=900 * MIB)]))[-1:]
    assert (verdict.found, verdict.met) == ("201 MiB", False)


def test_rows_that_were_not_run_are_not_judged() -> None:
    """No figure, no verdict."""
    assert verdicts(Results([])) == []


@pytest.mark.parametrize(
    ("run", "bound"),
    [
        (a_run("full", "safehold", 10, others=0.5), "Other programs: they took 50%"),
        (a_run("full", "safehold", 10, cpu=8 * cores(), server=1.5 * cores()), "The processor: 80%"),
        (
            a_run("full", "safehold", 10, read=1900 * MIB),
            "The disk: 190 MiB/s, and no run has read more than 200 MiB/s",
        ),
        (a_run("full", "safehold", 10, read=100 * MIB), "No single resource"),
    ],
)
def test_what_bounds_a_run_follows_from_its_counters(run: Result, bound: str) -> None:
    """Others before the processor before the disk, of which the quickest reader says what it can."""
    others = [a_run("device-cold", "dd", 10, read=50 * MIB), a_run("unchanged", "safehold", 10, read=2000 * MIB)]
    assert bound_of(run, Results([*others, run])).startswith(bound)


def test_the_report_has_a_line_per_row_and_program_and_warns_of_load() -> None:
    """Rounds are one line; CPU seconds are also told per GiB of data."""
    runs = [a_run("full", "safehold", 2, cpu=3, others=0.4, added=MIB), a_run("full", "safehold", 4, cpu=5, added=MIB)]
    page = markdown(Results(runs), "a disk", {"kernel": "6"}, {"SeaweedFS": "4"})
    assert "| full | safehold | 2.00 / 3.00 | 4.00 | 2.00 | 0.00 | 20% | 0 | 1.00 | 3 |" in page
    assert "**The machine was busy:** in 1 of 2 runs" in page
    assert "| kernel | 6 |" in page


@pytest.mark.parametrize(("large", "met"), [(2.6, True), (2.7, False)])
def test_told_changes_take_the_same_time_on_disks_of_any_size(large: float, met: bool) -> None:
    """1 TiB takes at most 1.3 times as long as 6 GiB, in seconds and in CPU seconds, each on its own."""
    runs = [a_run("told-6GiB-runs", "safehold", 2.0, cpu=1.0), a_run("told-1TiB-runs", "safehold", large, cpu=1.4)]
    found = {each.what.rpartition(": ")[2]: each.met for each in verdicts(Results(runs)) if "runs" in each.what}
    assert found == {"seconds": met, "CPU seconds": False}


@pytest.mark.parametrize(("delta", "met"), [(2.2, True), (2.3, False)])
def test_a_delta_restore_is_compared_with_the_scans_between(delta: float, met: bool) -> None:
    """At most 1.1 times as long as these, not as the backup of another disk minutes before."""
    runs = [a_run("unchanged", "safehold", 9.0), a_run("delta", SCAN, 2.0), a_run("delta", "safehold", delta)]
    (verdict,) = [each for each in verdicts(Results(runs)) if each.what == "Delta restore at 1 %: seconds"]
    assert verdict.met is met


@pytest.mark.parametrize(("delta", "met"), [(0.9, True), (1.1, False)])
def test_a_told_delta_restore_is_compared_with_a_full_one(delta: float, met: bool) -> None:
    """At least ten times as fast."""
    runs = [a_run("told-restore-full", "safehold", 10.0), a_run("told-restore-delta", "safehold", delta)]
    (verdict,) = [each for each in verdicts(Results(runs)) if each.what.startswith("Delta restore, told")]
    assert verdict.met is met
