"""The worker's verb `describe`, as a process against a real S3 server: what it finds, and what it tells of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from safehold.description import DescribeRun, PointDescription, SoughtVM
from safehold.envelope import open_machine
from safehold.reasons import Reason
from safehold.report import EXIT_REFUSED, SealedMachine

if TYPE_CHECKING:
    from tests.worker.conftest import Ended, Jobs


def asked(jobs: Jobs, **changes: Any) -> DescribeRun:
    """A run that looks for a point; `vm` gives fields of a VM."""
    vm = changes.pop("vm", None)
    sought = None if vm is None else SoughtVM(cluster="cluster", namespace_uid="ns-uid", **{"name": "db", **vm})
    domain = "namespace/ns-uid" if sought else None
    return DescribeRun(run_id="ask", repository=jobs.place(), vm=sought, **{"key_domain": domain, **changes})


def told(jobs: Jobs, ended: Ended) -> tuple[PointDescription, list[dict[str, Any]]]:
    """What is in the envelope."""
    assert (ended.code, ended.report.reason) == (0, Reason.SUCCEEDED), ended.report
    lines = [SealedMachine.model_validate(line) for line in ended.lines]
    first, *objects = open_machine(lines, jobs.envelope_key, "ask")
    return PointDescription.model_validate(first), objects


def test_a_point_is_described_wherever_it_lies(jobs: Jobs, disk: Path) -> None:
    """With nothing but the id: owner, time, consistency, volumes and the VM's objects, all in the envelope."""
    run = jobs.backup("run-1", root=disk)
    claim = {"name": "claim-root", "storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "capacity": 1 << 30}
    run = run.model_copy(update={"volumes": [run.volumes[0].model_copy(update={"claim": claim})]})
    run = run.model_copy(update={"capture": run.capture.model_copy(update={"excluded": ["scratch"]})})
    made = jobs.run(run).report
    ended = jobs.run(asked(jobs, point=made.restore_point))
    said, objects = told(jobs, ended)
    assert ended.report.restore_point == said.point == made.restore_point
    assert said.repository_id == made.repository_id
    assert said.key_domain == "namespace/ns-uid"
    assert said.owner == jobs.owner()
    assert (said.captured, said.consistency, said.verified) == (run.capture.time, "Filesystem", True)
    (volume,) = said.volumes
    assert (volume.name, volume.disk_bytes, volume.capacity_bytes) == ("root", 40_000_000, 1 << 30)
    assert (volume.claim, volume.storage_class, volume.access_modes) == ("claim-root", "fast", ["ReadWriteOnce"])
    assert said.excluded == ["scratch"]
    assert objects == run.machine


def test_the_latest_point_that_fits_is_found(jobs: Jobs, disk: Path) -> None:
    """By the VM's uid, or by its name where that is all that is known; not after the wanted time."""
    points = []
    for number in range(3):
        run = jobs.backup(f"run-{number}", root=disk)
        time = run.capture.time + timedelta(hours=number)
        run = run.model_copy(update={"capture": run.capture.model_copy(update={"time": time})})
        points.append(jobs.run(run).report.restore_point)
    before = run.capture.time - timedelta(minutes=30)
    searches: list[tuple[dict[str, Any], str | None]] = [
        ({"uid": "vm-uid"}, points[2]),
        ({"uid": "vm-uid", "before": before}, points[1]),
        ({"before": before, "verified": "Require"}, points[1]),
        ({"verified": "Prefer"}, points[2]),
    ]
    for vm, expected in searches:
        assert told(jobs, jobs.run(asked(jobs, vm=vm)))[0].point == expected, vm


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"point": "0123456789abcdef-000001-0123456789abcdef"}, Reason.POINT_NOT_FOUND),
        ({"vm": {"uid": "another"}}, Reason.POINT_NOT_FOUND),
        ({"vm": {"name": "another"}}, Reason.POINT_NOT_FOUND),
        ({"vm": {"uid": "vm-uid", "before": "2020-01-01T00:00:00Z"}}, Reason.POINT_NOT_FOUND),
        ({"vm": {"uid": "vm-uid"}, "key_domain": "namespace/absent"}, Reason.POINT_NOT_FOUND),
        ({"vm": {"uid": "vm-uid"}, "repository_id": "another"}, Reason.REPOSITORY_CHANGED),
        ({}, Reason.INVALID_SPEC),
    ],
)
def test_what_is_not_there_is_said(jobs: Jobs, disk: Path, changes: dict[str, Any], reason: Reason) -> None:
    """No point, no VM, no key domain, another repository: a reason, no lines, and no second attempt."""
    assert jobs.run(jobs.backup("run-1", root=disk)).code == 0
    refused = jobs.run(asked(jobs, **changes))
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, reason)
    assert refused.lines == []


def test_a_forgotten_point_is_not_found(jobs: Jobs, disk: Path) -> None:
    """Its data is still there until maintenance, but it is on its way out."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert jobs.run(jobs.forget(point)).code == 0
    refused = jobs.run(asked(jobs, point=point))
    assert refused.report.reason == Reason.POINT_NOT_FOUND
    assert "forgotten" in refused.report.message
