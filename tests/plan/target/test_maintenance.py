"""When a target's repository is tidied up, what the worker is asked, and what is made of its answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api import ClusterBackupTarget, Condition
from safehold.api.maintenance import MAX_GONE_MACHINES, GoneMachine, MaintenanceStatus
from safehold.census import Census
from safehold.plan.job import JobFacts
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.maintenance import (
    DeleteStale,
    Governed,
    MaintenanceStep,
    StartMaintenance,
    TakeAnswer,
    Wait,
    maintain_run,
    next_maintenance,
)
from safehold.plan.target.use import TargetFacts, describe
from safehold.reasons import Reason
from safehold.report import MaintenanceReport, RunReport
from safehold.run import MaintainRun

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FOUR = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def target(status: MaintenanceStatus | None = None, *, ready: str = "True", **spec: Any) -> ClusterBackupTarget:
    """A target that was checked; `spec` adds to it."""
    condition = Condition(
        type="Ready", status=ready, observed_generation=1, last_transition_time=CREATED, reason="R", message=""
    )
    metadata = {"name": "primary", "uid": "target-uid", "generation": 1, "creationTimestamp": CREATED.isoformat()}
    found = ClusterBackupTarget.model_validate(
        {
            "metadata": metadata,
            "spec": {"s3": {"bucket": "backups"}, "encryption": {"keySecretRef": {"name": "key"}}, **spec},
            "status": {"observedGeneration": 1, "repositoryID": "repo-1", "conditions": [condition.to_wire()]},
        }
    )
    changed = found.status.model_copy(update={"maintenance": status})
    return found.model_copy(update={"status": changed})


def started(found: ClusterBackupTarget, now: datetime) -> str:
    """The name of the Job that is due."""
    step = next_maintenance(found, [], now)
    assert isinstance(step, StartMaintenance)
    return step.job


def ended(name: str, **said: Any) -> JobFacts:
    """The Job of that name with its report."""
    report = {"run_id": name, "verb": "maintain", "succeeded": True, "reason": "Succeeded", "message": "done", **said}
    report.setdefault("maintenance", {"points": 7, "forgotten": 3, "lines": 3})
    outcome: Any = "Complete" if report["succeeded"] else "Failed"
    message = RunReport.model_validate(report).model_dump_json()
    return JobFacts(name=name, uid="job-uid", outcome=outcome, termination_message=message)


def taken(found: ClusterBackupTarget, now: datetime, **said: Any) -> MaintenanceStatus:
    """What the status says after the due Job's answer."""
    step = next_maintenance(found, [ended(started(found, now), **said)], now)
    assert isinstance(step, TakeAnswer)
    assert step.status.maintenance is not None
    return step.status.maintenance


def run_of(found: ClusterBackupTarget, now: datetime = FOUR) -> MaintainRun:
    """What the due Job is asked."""
    facts = describe(found, "safehold", EndpointRules())
    assert isinstance(facts, TargetFacts)
    governed = Governed(policies=["gold"], machines=Census.of(["vm-2", "vm-1"]), held=["point-1"])
    return maintain_run("job", found, facts, governed, "cluster", now)


def test_a_target_is_maintained_when_its_schedule_says_so() -> None:
    """Not before, then once; what was missed while nobody looked is made up for by one Job."""
    step = next_maintenance(target(), [], FOUR - timedelta(minutes=5))
    assert isinstance(step, Wait)
    assert step.at == FOUR
    assert step.status.maintenance is not None
    assert step.status.maintenance.next_time == FOUR
    name = started(target(), FOUR)
    assert started(target(), FOUR + 9 * DAY) == name
    after = taken(target(), FOUR + 9 * DAY)
    assert after.next_time == FOUR + 10 * DAY
    assert started(target(after), FOUR + 10 * DAY) != name


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(target(accessMode="ReadOnly"), id="read-only"),
        pytest.param(target(ready="False"), id="not ready"),
        pytest.param(target(maintenance={"suspend": True}), id="suspended"),
    ],
)
def test_nothing_is_tidied_where_it_must_not_be(found: ClusterBackupTarget) -> None:
    """No Job, and no time of a next one is promised."""
    step = next_maintenance(found, [], FOUR + DAY)
    assert isinstance(step, Wait)
    assert step.status.maintenance is not None
    assert step.status.maintenance.next_time is None


def test_a_running_job_is_waited_for_and_one_of_another_time_goes() -> None:
    """A schedule that changes in mid-run makes the Job's answer nobody's."""
    name = started(target(), FOUR)
    running = JobFacts(name=name, uid="u")
    assert isinstance(next_maintenance(target(), [running], FOUR), Wait)
    changed = target(maintenance={"schedule": "0 3 * * *"})
    assert next_maintenance(changed, [running], FOUR) == DeleteStale((name,))
    assert isinstance(next_maintenance(changed, [replace(running, deleting=True)], FOUR), Wait)


def test_what_the_worker_is_asked() -> None:
    """The repository that is meant, what exists, what is held, and who is known to be gone since when."""
    gone = [GoneMachine(vm_uid="vm-9", since=CREATED)]
    run = run_of(target(MaintenanceStatus(gone_machines=gone)))
    assert (run.repository_id, run.cluster, run.time) == ("repo-1", "cluster", FOUR)
    assert (run.policies, run.held, run.gone) == (["gold"], ["point-1"], {"vm-9": CREATED})
    assert [uid in Census.parse(run.machines) for uid in ("vm-1", "vm-2", "vm-9")] == [True, True, False]


@pytest.mark.parametrize(
    ("last", "compact"), [(None, True), (FOUR - 6 * DAY, False), (FOUR - 7 * DAY + timedelta(hours=2), True)]
)
def test_sparse_packs_are_rewritten_once_a_week(last: datetime | None, compact: bool) -> None:
    """Also where the Job of a week ago took some hours."""
    assert run_of(target(MaintenanceStatus(last_compaction_time=last))).compact == compact


def test_an_answer_is_in_the_status() -> None:
    """The counts of the report, and when the next one is due."""
    found = {"points": 7, "forgotten": 3, "compacted": True, "ungoverned": 2, "of_gone_policies": 1}
    status = taken(target(), FOUR + timedelta(minutes=3), maintenance=found)
    assert (status.points, status.forgotten_points, status.failure) == (7, 3, None)
    assert (status.ungoverned_points, status.points_of_deleted_policies) == (2, 1)
    assert status.last_time == status.last_successful_time == status.last_compaction_time == FOUR + timedelta(minutes=3)
    assert status.next_time == FOUR + DAY


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"succeeded": False, "reason": "Damaged"}, Reason.DAMAGED),
        ({"run_id": "another"}, Reason.REPORT_REJECTED),
        ({"maintenance": None}, Reason.REPORT_REJECTED),
    ],
)
def test_a_failure_is_told_and_tried_again_at_the_next_time(said: dict[str, Any], reason: Reason) -> None:
    """What the last good one found stays."""
    before = MaintenanceStatus(last_time=FOUR, last_successful_time=FOUR, points=9)
    status = taken(target(before), FOUR + DAY, **said)
    assert status.failure is not None
    assert status.failure.reason == reason
    assert (status.last_time, status.last_successful_time, status.points) == (FOUR + DAY, FOUR, 9)
    assert status.next_time == FOUR + 2 * DAY


def test_a_wrong_schedule_is_told() -> None:
    """The cron line cannot be seen through by the API server; the status says what is wrong."""
    step = next_maintenance(target(maintenance={"schedule": "0 25 * * *"}), [], FOUR)
    assert isinstance(step, Wait)
    assert step.status.maintenance is not None
    assert step.status.maintenance.failure is not None
    assert step.status.maintenance.failure.reason == Reason.INVALID_SCHEDULE


def test_machines_that_are_gone_are_remembered_until_their_points_are() -> None:
    """The time that counts is that of the first notice; the list is bounded, and who is not on it waits."""
    known = [GoneMachine(vm_uid="vm-1", since=CREATED), GoneMachine(vm_uid="vm-2", since=CREATED)]
    found = {"newly_gone": ["vm-2", "vm-3"], "emptied": ["vm-1"]}
    status = taken(target(MaintenanceStatus(gone_machines=known)), FOUR, maintenance=found)
    assert {gone.vm_uid: gone.since for gone in status.gone_machines} == {"vm-2": CREATED, "vm-3": FOUR}
    full = [GoneMachine(vm_uid=f"vm-{number}", since=CREATED) for number in range(MAX_GONE_MACHINES)]
    status = taken(target(MaintenanceStatus(gone_machines=full)), FOUR, maintenance={"newly_gone": ["vm-x"]})
    assert status.gone_machines == full


def test_a_job_in_deletion_is_not_started_again() -> None:
    """Its name is free only when it is gone."""
    step: MaintenanceStep = next_maintenance(
        target(), [JobFacts(name=started(target(), FOUR), uid="u", deleting=True)], FOUR
    )
    assert isinstance(step, Wait)


def test_a_report_without_a_word_on_maintenance_is_no_success() -> None:
    """`MaintenanceReport` has defaults for all counts, so its absence must not be read as nothing to do."""
    assert MaintenanceReport().points == 0
    assert taken(target(), FOUR, maintenance=None).last_successful_time is None
