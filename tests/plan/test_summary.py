"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.vmbackup import ByteCounts, VMBackupStatus
from safehold.api.vmrestore import VMRestoreSpec, VMRestoreStatus
from safehold.plan.summary import (
    measure_progress,
    readable_bytes,
    readable_duration,
    summarize_backup,
    summarize_restore,
    total_counts,
)

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
GIB = 1 << 30


def restore_spec(**target: str) -> VMRestoreSpec:
    """Of a restore of VM orders."""
    return VMRestoreSpec.model_validate({"source": {"vm": "orders"}, "target": target})


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10 * 1024 - 1, "10.0 KiB"),
        (1_048_575, "1.00 MiB"),
        (2 * GIB, "2.00 GiB"),
        (199 << 20, "199 MiB"),
        (16 << 40, "16.0 TiB"),
        (5000 << 50, "5000 PiB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    """Three digits and a binary unit."""
    assert readable_bytes(count) == text


@given(st.integers(0, 900 << 50))
def test_bytes_are_close(count: int) -> None:
    """What is shown is within one half of a percent of the truth."""
    size, unit = readable_bytes(count).split()
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert float(size) * factor == pytest.approx(count, rel=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (0.25, "0.2s"), (9.96, "10s"), (59.6, "1m 0s"), (252, "4m 12s"), (3900, "1h 5m"), (90000, "25h 0m")],
)
def test_durations(seconds: float, text: str) -> None:
    """The two largest units."""
    assert readable_duration(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "seconds", "percent", "eta"),
    [
        (0, 100, 5, 0, None),
        (25, 100, 5, 25, 15),
        (25, 100, None, 25, None),
        (999, 1000, 999, 99, 1),
        (100, 100, 5, 100, 0),
        (100, 100, None, 100, 0),
        (120, 100, 5, 100, 0),
        (0, 0, 5, 100, None),
        (9, 1000, 59, 0, None),
        (9, 1000, 63, 0, 6937),
        (10, 1000, 1, 1, 99),
    ],
)
def test_progress(done: int, total: int, seconds: float | None, percent: int, eta: int | None) -> None:
    """Percents are rounded down, and more than everything is everything.

    The rest is expected at the speed so far, once a percent or a minute of it was seen.
    """
    progress = measure_progress(done, total, seconds=seconds)
    assert (progress.percent, progress.eta_seconds) == (percent, eta)


def test_totals() -> None:
    """Volumes add up; a number that no volume has stays unknown instead of zero."""
    volumes = [ByteCounts(bytes_total=GIB, bytes_read=5), ByteCounts(bytes_total=GIB), ByteCounts()]
    assert total_counts(volumes) == ByteCounts(bytes_total=2 * GIB, bytes_read=5)
    assert total_counts([]) == ByteCounts()


def test_backup_under_way() -> None:
    """While the transfer runs the progress is shown, and nothing that is not known yet."""
    progress = measure_progress(GIB, 4 * GIB, seconds=4)
    summary = summarize_backup(VMBackupStatus(start_time=START, progress=progress))
    assert summary.to_wire() == {"progress": "25%, 12s left"}


@pytest.mark.parametrize(("observation", "frozen"), [("Observed", "412ms"), ("UpperBound", "≤412ms")])
def test_finished_backup(observation: str, frozen: str) -> None:
    """At the end the numbers stand, an upper bound is marked as one, and the progress is gone."""
    status = VMBackupStatus.model_validate(
        {
            "startTime": START,
            "completionTime": START + timedelta(seconds=61),
            "progress": measure_progress(4 * GIB, 4 * GIB, seconds=50),
            "consistency": {
                "reached": "Filesystem",
                "reason": "the guest agent froze the file systems",
                "frozenMillis": 412,
                "frozenObservation": observation,
            },
            "bytesTotal": 4 * GIB,
            "bytesRead": 3 * GIB,
            "bytesChanged": 2 * GIB,
            "bytesUploaded": GIB,
            "bytesStored": 1000,
        }
    )
    assert summarize_backup(status).to_wire() == {
        "frozen": frozen,
        "total": "4.00 GiB",
        "read": "3.00 GiB",
        "changed": "2.00 GiB",
        "uploaded": "1.00 GiB",
        "stored": "1000 B",
        "duration": "1m 1s",
    }


def test_restore() -> None:
    """A restore shows what its volumes got, and how long it took."""
    volume = {"mode": "Block", "capacityBytes": GIB, "primeClaim": "p", "claimName": "c", "bytesRestored": GIB}
    status = VMRestoreStatus.model_validate(
        {
            "startTime": START,
            "completionTime": START + timedelta(seconds=30),
            "volumes": [{"name": "root", **volume}, {"name": "data", **volume}],
        }
    )
    summary = summarize_restore(restore_spec(mode="InPlace"), status)
    assert summary.to_wire() == {"vm": "orders", "restored": "2.00 GiB", "duration": "30s"}


@pytest.mark.parametrize(
    ("target", "recorded", "shown"),
    [
        ({"mode": "InPlace"}, {}, "orders"),
        ({"mode": "InPlace"}, {"vm": {"name": "recorded"}}, "recorded"),
        ({"mode": "NewVM", "name": "copy"}, {}, "copy"),
        ({"mode": "VolumesOnly", "name": "copy"}, {}, None),
    ],
)
def test_the_vm_of_a_restore_is_shown_from_the_beginning(
    target: dict[str, str], recorded: dict[str, object], shown: str | None
) -> None:
    """Also of one that waits, was only planned, or was refused; claims without a VM have none."""
    status = VMRestoreStatus.model_validate(recorded)
    assert summarize_restore(restore_spec(**target), status).vm == shown
