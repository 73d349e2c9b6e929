"""The verb `maintain` as a process against a real S3 server: what goes, what stays, and what is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.worker.conftest import store_of

from safehold.engine.repository import Repository
from safehold.reasons import Reason
from safehold.run import EXIT_REFUSED, MaintainRun, PolicyRules, RetentionLine

if TYPE_CHECKING:
    from tests.worker.conftest import Ended, Jobs

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAST = PolicyRules(policy="gold", time_zone="UTC", keep_last=1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A disk of one chunk."""
    path = tmp_path / "small.img"
    path.write_bytes(b"x" * 100_000)
    return path


def point(jobs: Jobs, disk: Path, day: int, *, policy: str | None = "gold", vm: str = "vm-1") -> str:
    """A point of that day in November; the disk is another one each time."""
    with disk.open("r+b") as file:
        file.write(f"{vm} {day}".encode())
    run = jobs.backup(f"{vm}-{day}", root=disk)
    capture = run.capture.model_copy(update={"time": NOON.replace(day=day)})
    run = run.model_copy(update={"capture": capture, "policy": policy, "owner": jobs.owner(vm)})
    made = jobs.run(run).report.restore_point
    assert made is not None
    return made


def maintain(jobs: Jobs, *rules: PolicyRules, **changes: Any) -> MaintainRun:
    """A maintenance at noon of the 22nd, of a cluster with the VM `vm-1`."""
    checked = jobs.run(jobs.target()).report.repository_id
    asked = {
        "run_id": "maintain-1",
        "repository": jobs.place(),
        "repository_id": checked,
        "cluster": "cluster",
        "time": NOON,
        "rules": list(rules) or [LAST],
        "machines": ["vm-1"],
        "gone": {},
        "held": [],
        "compact": True,
        **changes,
    }
    return MaintainRun.model_validate(asked)


def left(jobs: Jobs) -> set[str]:
    """The points that there are."""
    repository = Repository.open(store_of(jobs), jobs.key, create=False)
    return {name.id for domain in repository.domains() for name in repository.domain(domain, create=False).points.all()}


def told(ended: Ended) -> list[RetentionLine]:
    """What it wrote about single points."""
    return [RetentionLine.model_validate(line) for line in ended.lines if line["kind"] == "retention"]


def test_what_the_rules_do_not_keep_is_forgotten(jobs: Jobs, small: Path) -> None:
    """The newest stays, with the held one, the one that a person made, and one of a policy without retention."""
    made = {day: point(jobs, small, day) for day in (17, 18, 21)}
    by_hand = point(jobs, small, 19, policy=None)
    other = point(jobs, small, 20, policy="silver")
    ended = jobs.run(maintain(jobs, held=[made[18]]))
    assert (ended.code, ended.report.reason) == (0, Reason.SUCCEEDED)
    assert left(jobs) == {made[18], made[21], by_hand, other}
    found = ended.report.maintenance
    assert found is not None
    assert (found.points, found.forgotten, found.ungoverned, found.of_gone_machines) == (4, 1, 2, 0)
    assert [(line.restore_point, line.forgotten, line.reason) for line in told(ended)] == [
        (made[17], True, "newer points use up keepLast 1")
    ]
    assert found.lines == 1
    again = jobs.run(maintain(jobs, held=[made[18]])).report.maintenance
    assert again is not None
    assert (again.points, again.forgotten) == (4, 0)


def test_the_next_deletions_are_foretold(jobs: Jobs, small: Path) -> None:
    """The next run makes the older of two points superfluous."""
    older, newer = point(jobs, small, 20), point(jobs, small, 21)
    runs = [NOON + timedelta(hours=1), NOON + timedelta(days=1, hours=1)]
    ended = jobs.run(maintain(jobs, LAST.model_copy(update={"keep_last": 2, "runs": runs})))
    assert left(jobs) == {older, newer}
    (line,) = told(ended)
    assert (line.restore_point, line.at, line.forgotten) == (older, runs[0], False)
    assert (line.policy, line.namespace, line.vm, line.captured) == ("gold", "shop", "db", NOON.replace(day=20))


def test_points_of_a_vm_that_is_gone_wait_for_the_end_of_its_grace(jobs: Jobs, small: Path) -> None:
    """First it is noticed, then nothing goes until the grace is over, then all; at last it can be struck off."""
    made = {point(jobs, small, day, vm="vm-2") for day in (20, 21)}
    rules = LAST.model_copy(update={"after_vm_deleted": "Delete", "deleted_vm_grace": timedelta(days=3)})
    noticed = jobs.run(maintain(jobs, rules)).report.maintenance
    assert noticed is not None
    assert (noticed.newly_gone, noticed.of_gone_machines, left(jobs)) == (["vm-2"], 2, made)
    gone = {"vm-2": NOON}
    waits = jobs.run(maintain(jobs, rules, gone=gone, time=NOON + timedelta(days=2))).report.maintenance
    assert waits is not None
    assert (waits.newly_gone, waits.emptied, left(jobs)) == ([], [], made)
    after = jobs.run(maintain(jobs, rules, gone=gone, time=NOON + timedelta(days=3))).report.maintenance
    assert after is not None
    assert (after.forgotten, after.emptied, left(jobs)) == (2, ["vm-2"], set())


def test_points_of_another_cluster_are_left_alone(jobs: Jobs, small: Path) -> None:
    """Its VMs are not known here, so nothing says that they are gone."""
    made = {point(jobs, small, day) for day in (20, 21)}
    found = jobs.run(maintain(jobs, cluster="another")).report.maintenance
    assert found is not None
    assert (found.ungoverned, found.forgotten, left(jobs)) == (2, 0, made)


def test_another_repository_is_not_touched(jobs: Jobs, small: Path) -> None:
    """A bucket that was swapped holds points that the rules were not meant for."""
    made = {point(jobs, small, day) for day in (20, 21)}
    ended = jobs.run(maintain(jobs, repository_id="another"))
    assert (ended.code, ended.report.reason) == (EXIT_REFUSED, Reason.REPOSITORY_CHANGED)
    assert left(jobs) == made


def test_a_point_that_cannot_be_read_stops_all_deletion(jobs: Jobs, small: Path) -> None:
    """What the damaged point was is not known, so nothing is forgotten for it."""
    made = [point(jobs, small, day) for day in (19, 20, 21)]
    store = store_of(jobs)
    store.put(next(store.list("points/")).name, b"damaged")
    ended = jobs.run(maintain(jobs))
    assert (ended.code, ended.report.reason) == (EXIT_REFUSED, Reason.DAMAGED)
    assert left(jobs) == set(made)
