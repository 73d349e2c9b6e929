"""What a worker says: a report that fits, and lines that are not too many."""

import io
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from safehold.report import REPORT_LIMIT_BYTES, RunReport, VolumeLine, VolumeReport
from safehold.worker.lines import ProgressLines, VolumeByVolume
from safehold.worker.report import fitting, write_report


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


def test_volumes_that_are_too_many_follow_in_the_log(tmp_path: Path) -> None:
    """The report of a VM with 64 disks fits and keeps its sentence; every disk has a line of its own."""
    volumes = [VolumeReport(name=f"{n:02}-{'v' * 60}", bytes_total=1 << 44, bytes_read=1 << 44) for n in range(64)]
    report = RunReport(
        run_id="run",
        verb="backup",
        succeeded=True,
        reason="Succeeded",
        message="all is well",
        restore_point="point",
        volumes=volumes,
    )
    output = io.StringIO()
    write_report(report, tmp_path / "log", output)
    text = (tmp_path / "log").read_text()
    assert len(text.encode()) < REPORT_LIMIT_BYTES
    told = RunReport.model_validate_json(text)
    assert (told.volumes_in_log, told.volumes, told.message, told.restore_point) == (64, [], "all is well", "point")
    lines = [VolumeLine.model_validate_json(line) for line in output.getvalue().splitlines()]
    assert [line.volume for line in lines] == volumes
    assert {line.run_id for line in lines} == {"run"}


def test_progress_is_at_most_a_line_a_second_and_always_the_last() -> None:
    """A log that is read every few seconds is not filled by thousands of lines. Each says for how long it goes on."""
    output, now = io.StringIO(), [100.0]
    lines = ProgressLines("run", output=output, clock=lambda: now[0])
    for done in range(101):
        lines.report(done, 100)
        now[0] += 0.03
    written = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["bytes_done"] for line in written] == [0, 34, 68, 100]
    assert [line["seconds"] for line in written] == [0.0, 1.02, 2.04, 3.0]


def test_progress_tells_the_volume_that_is_filled() -> None:
    """Of a run that deals with one volume after the other, each line says how far it is with the present one."""
    output = io.StringIO()
    moments = iter(range(100))
    progress = VolumeByVolume(ProgressLines("run", output=output, clock=lambda: float(next(moments))), 100)
    for volume, size in (("a", 40), ("b", 60)):
        progress.begin(volume, size)
        progress.advance(size // 2)
        progress.advance(size // 2)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["bytes_done"] for line in lines] == [20, 40, 70, 100]
    assert [tuple(line["volume"].values()) for line in lines] == [
        ("a", 20, 40),
        ("a", 40, 40),
        ("b", 30, 60),
        ("b", 60, 60),
    ]
