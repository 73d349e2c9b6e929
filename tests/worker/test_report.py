"""What a worker says: a report that fits, and lines that are not too many."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from safehold.run import REPORT_LIMIT_BYTES, RunReport, VolumeReport
from safehold.worker.lines import ProgressLines
from safehold.worker.report import fitting


@given(st.text(max_size=6000), st.integers(0, 12))
def test_a_report_always_fits_and_keeps_what_machines_read(message: str, volumes: int) -> None:
    """Sentences are cut, facts are not."""
    report = RunReport(
        run_id="run",
        verb="backup",
        succeeded=False,
        reason="VolumeError",
        message=message,
        volumes=[VolumeReport(name=f"v{n}", bytes_total=1 << 40, engine_reason="r" * 200) for n in range(volumes)],
    )
    text = fitting(report)
    assert len(text.encode()) < REPORT_LIMIT_BYTES
    read = RunReport.model_validate_json(text)
    assert (read.run_id, read.reason) == ("run", "VolumeError")
    assert [volume.bytes_total for volume in read.volumes] == [1 << 40] * volumes
    assert message.startswith(read.message.rstrip("…")) or read.message == message


def test_progress_is_at_most_a_line_a_second_and_always_the_last() -> None:
    """A log that is read every few seconds is not filled by thousands of lines."""
    output, now = io.StringIO(), [0.0]
    lines = ProgressLines("run", output=output, clock=lambda: now[0])
    for done in range(101):
        lines.report(done, 100)
        now[0] += 0.03
    written = [json.loads(line)["bytes_done"] for line in output.getvalue().splitlines()]
    assert written == [0, 34, 68, 100]
