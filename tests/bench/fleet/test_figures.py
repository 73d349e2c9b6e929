"""What becomes of what was seen: lateness, requests, verdicts, the page."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bench.fleet.arrivals import Arrivals
from bench.fleet.figures import Figures
from bench.fleet.report import markdown
from bench.fleet.requests import RequestLog
from bench.fleet.shape import Shape

DUE = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def arrivals(*late: float) -> Arrivals:
    """VMBackups of one run, each so many seconds late."""
    seen = [("shop", f"vm-{number}", DUE.timestamp() + seconds) for number, seconds in enumerate(late)]
    return Arrivals(cast("Any", None), seen={DUE: seen})


def test_lateness_counts_from_the_due_time() -> None:
    """Of a hundred, p99 leaves out the worst one."""
    late = arrivals(*(float(number) for number in range(100))).of([DUE])
    assert (late.quantile(0.99), late.quantile(1.0), late.quantile(0.5)) == (98, 99, 49)


def test_a_run_without_vmbackups_is_infinitely_late() -> None:
    """Nothing that came is nothing that was in time."""
    assert arrivals(1.0).of([DUE + timedelta(hours=1)]).quantile(0.99) == math.inf


def test_a_vm_that_was_backed_up_twice_in_a_run_is_counted() -> None:
    """The same VM under another name of the VMBackup."""
    found = arrivals(1.0, 2.0)
    found.seen[DUE].append(("shop", "vm-0", DUE.timestamp()))
    assert found.of([DUE]).twice == 1


def test_requests_are_counted_from_where_the_last_look_ended(tmp_path: Path) -> None:
    """Only the controller's, and no line twice; a line that is being written is left for later."""
    path = tmp_path / "audit.jsonl"
    line = {"user": "safehold", "verb": "patch", "resource": "vmbackups", "subresource": "status"}
    path.write_text("".join(json.dumps(each) + "\n" for each in (line, {**line, "user": "admin"}, line)))
    log = RequestLog(path, "safehold")
    assert log.since_last() == {("patch", "vmbackups/status"): 2}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n" + json.dumps(line)[:20])
    assert log.since_last().total() == 1
    assert log.since_last().total() == 0


@pytest.mark.parametrize(("found", "met", "word"), [(4.9, True, "yes"), (5.0, True, "yes"), (5.1, False, "**no**")])
def test_a_figure_is_met_up_to_its_limit(found: float, met: bool, word: str) -> None:
    """The page says so in words."""
    figures = Figures()
    figures.at_most("p99", found, 5, "s")
    assert figures.rows[0].met is met
    page = markdown(figures, Shape(), vm_bytes=10240, minutes=10, active=50, machine={"kernel": "6"})
    assert f"| p99 | at most 5 s | {found} s | {word} |" in page
