"""What a VMBackup tells about its run."""

from datetime import UTC, datetime
from typing import Any

import pytest

from safehold.plan.load.history import KnownSize, known_size, past_run

WHOLE: dict[str, Any] = {
    "startTime": "2026-11-23T22:05:00Z",
    "completionTime": "2026-11-23T22:15:00Z",
    "restorePoint": "20261123t220520",
    "vmUID": "vm-uid",
    "bytesRead": 5,
    "bytesUploaded": 2,
}


def backup(**status: Any) -> dict[str, Any]:
    """A VMBackup of the shop's db, created five minutes before its start."""
    return {
        "metadata": {"name": "b", "namespace": "shop", "creationTimestamp": "2026-11-23T22:00:00Z"},
        "spec": {"vm": {"name": "db"}},
        "status": {**WHOLE, **status},
    }


def test_duration_and_wait_are_apart() -> None:
    """Ten minutes with a place, after five without."""
    run = past_run(backup())
    assert run is not None
    assert (run.vm, run.vm_uid, run.seconds, run.waited) == (("shop", "db"), "vm-uid", 600.0, 300.0)
    assert (run.read, run.uploaded) == (5, 2)


@pytest.mark.parametrize(
    "status",
    [
        {"completionTime": None},
        {"startTime": None},
        {"restorePoint": None},
        {"failure": {"reason": "JobFailed", "message": "no memory"}},
    ],
)
def test_a_run_without_a_point_tells_nothing(status: dict[str, Any]) -> None:
    """A failed one may have ended after a second, or been stuck for a day."""
    assert past_run(backup(**status)) is None


def test_a_clock_that_went_back_makes_no_negative_times() -> None:
    """Times are of several machines."""
    run = past_run(backup(startTime="2026-11-23T21:59:00Z", completionTime="2026-11-23T21:58:00Z"))
    assert run is not None
    assert (run.seconds, run.waited) == (0.0, 0.0)


def test_a_run_that_has_only_begun_tells_how_large_the_vm_is() -> None:
    """By its disks, without the copy of its memory; before it has looked at them it tells nothing."""
    volumes = [
        {"name": "root", "capacityBytes": 5},
        {"name": "data", "role": "Disk", "capacityBytes": 7},
        {"name": "memory", "role": "MemoryDump", "capacityBytes": 100},
    ]
    started = datetime(2026, 11, 23, 22, 5, tzinfo=UTC)
    assert known_size(backup(volumes=volumes)) == KnownSize(vm=("shop", "db"), size=12, seen=started)
    assert known_size(backup()) is None
