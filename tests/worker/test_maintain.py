"""The verb `maintain` as a process against a real S3 server: what goes, what stays, and what is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.worker.conftest import store_of

from safehold.census import Census
from safehold.reasons import Reason
from safehold.report import EXIT_REFUSED, RetentionLine
from safehold.run import MaintainRun, PolicyRules

if TYPE_CHECKING:
    from tests.worker.conftest import Ended, Jobs

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAST = PolicyRules(policy="gold", name="BackupPolicy/gold", time_zone="UTC", keep_last=1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A disk of one chunk."""
    path = tmp_path / "small.img"
    path.write_bytes(b"x" * 100_000)
    return path


def point(
    jobs: Jobs, disk: Path, day: int, *, policy: str | None = "gold", vm: str = "vm-1", name: str = "", tier: str = ""
) -> str:
    """A point of that day in November; the disk is another one each time."""
    with disk.open("r+b") as file:
        file.write(f"{vm} {day}".encode())
    run = jobs.backup(f"{vm}-{day}", root=disk)
    capture = run.capture.model_copy(update={"time": NOON.replace(day=day)})
    made_by = {"policy": policy, "policy_name": name, "tier": tier}
    run = run.model_copy(update={"capture": capture, "owner": jobs.owner(vm), **made_by})
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
        "policies": ["gold", "silver"],
        "machines": Census.of(["vm-1"]).text(),
        "gone": {},
        "held": [],
        "compact": True,
        **changes,
    }
    return MaintainRun.model_validate(asked)


def left(jobs: Jobs) -> set[str]:
    """The points that there are."""
    repository = jobs.repository()
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


def test_a_tiers_points_go_by_its_own_rules(jobs: Jobs, small: Path) -> None:
    """Two weekly points stay though the policy keeps one; a tier without rules shares the policy's."""
    weekly = [point(jobs, small, day, tier="weekly") for day in (8, 15)]
    hourly = [point(jobs, small, day, tier="hourly") for day in (19, 20)]
    by_hand = point(jobs, small, 21)
    rules = LAST.model_copy(update={"tier": "weekly", "keep_last": 2, "runs": [NOON + timedelta(hours=1)]})
    ended = jobs.run(maintain(jobs, LAST, rules))
    assert left(jobs) == {*weekly, by_hand}
    lines = told(ended)
    assert {line.restore_point for line in lines if line.forgotten and not line.tier} == set(hourly)
    assert [(line.restore_point, line.tier) for line in lines if not line.forgotten] == [(weekly[0], "weekly")]


def test_a_policy_that_is_created_anew_governs_the_points_of_the_earlier_one(jobs: Jobs, small: Path) -> None:
    """Until then they are counted; of another namespace's policy of that name they are no business."""
    made = [point(jobs, small, day, policy="former", name="BackupPolicy/gold") for day in (20, 21)]
    without = jobs.run(maintain(jobs, LAST.model_copy(update={"namespace_uid": "another"}))).report.maintenance
    assert without is not None
    assert (without.forgotten, without.ungoverned, without.of_gone_policies) == (0, 2, 2)
    anew = LAST.model_copy(update={"namespace_uid": jobs.owner("vm-1").namespace_uid})
    ended = jobs.run(maintain(jobs, anew))
    assert left(jobs) == {made[1]}
    found = ended.report.maintenance
    assert found is not None
    assert (found.forgotten, found.of_gone_policies) == (1, 0)
    assert [(line.restore_point, line.policy) for line in told(ended)] == [(made[0], "gold")]


def test_a_policy_that_exists_keeps_its_points_from_another_of_its_name(jobs: Jobs, small: Path) -> None:
    """A cluster's policy of the same name takes over nothing of one that is there and says nothing of retention."""
    made = {point(jobs, small, day, policy="silver", name="ClusterBackupPolicy/gold") for day in (20, 21)}
    rules = LAST.model_copy(update={"name": "ClusterBackupPolicy/gold"})
    found = jobs.run(maintain(jobs, rules)).report.maintenance
    assert found is not None
    assert (found.ungoverned, found.of_gone_policies, left(jobs)) == (2, 0, made)


def test_a_point_that_is_held_in_the_repository_stays(jobs: Jobs, small: Path) -> None:
    """Without a VMBackup that says so; once it is released the rules decide again."""
    made = [point(jobs, small, day) for day in (20, 21)]
    repository = jobs.repository()
    (domain,) = (repository.domain(name, create=False) for name in repository.domains())
    domain.holds.place(made[0], "audit", NOON)
    jobs.run(maintain(jobs))
    assert left(jobs) == set(made)
    domain.holds.release(made[0])
    jobs.run(maintain(jobs))
    assert left(jobs) == {made[1]}
