"""When a target is checked, and what its conditions say about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api import ClusterBackupTarget
from safehold.plan.conditions import is_true
from safehold.plan.job import JobFacts, PodFacts
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import describe
from safehold.plan.target.validation import (
    DeleteJobs,
    LookAgain,
    ObservedTarget,
    StartValidation,
    ValidationStep,
    is_transition,
    next_validation,
)
from safehold.reasons import Reason
from safehold.report import RunReport
from safehold.run import TargetRun

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    """One target, its Secrets and its Jobs, as time goes by; the worker answers what it is told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.version = "v1"
        self.secrets: Refusal | None = None
        self.jobs: list[JobFacts] = []
        self.started = 0
        self.runs: list[TargetRun] = []
        self.target = ClusterBackupTarget.model_validate(
            {
                "metadata": {"name": "primary", "uid": "target-uid", "generation": 1},
                "spec": {"s3": {"bucket": "backups"}, "encryption": {"keySecretRef": {"name": "key"}}},
            }
        )

    def look(self) -> ValidationStep:
        """One reconcile."""
        seen = ObservedTarget(
            facts=describe(self.target, "safehold", EndpointRules()),
            secrets_version=self.version,
            secrets=self.secrets,
            jobs=self.jobs,
        )
        step, status = next_validation(self.target, seen, self.now)
        self.target = self.target.model_copy(update={"status": status})
        match step:
            case StartValidation(name, run):
                assert run.run_id == name
                assert not [job for job in self.jobs if job.name == name]
                self.jobs.append(JobFacts(name=name, uid=f"{name}-uid"))
                self.started += 1
                self.runs.append(run)
            case DeleteJobs(names):
                self.jobs = [job for job in self.jobs if job.name not in names]
            case LookAgain(at):
                assert at > self.now
        return step

    def answer(self, reason: Reason = Reason.SUCCEEDED, repository: str = "repo-1", run_id: str | None = None) -> None:
        """The running worker ends."""
        job = self.jobs[-1]
        succeeded = reason is Reason.SUCCEEDED
        report = RunReport(
            run_id=run_id or job.name,
            verb="target",
            succeeded=succeeded,
            reason=reason,
            message="the store refuses the credentials",
            repository_id=repository,
        )
        self.jobs[-1] = replace(
            job, outcome="Complete" if succeeded else "Failed", termination_message=report.model_dump_json()
        )

    def settle(self) -> None:
        """Look until there is nothing to do now."""
        for _ in range(20):
            if isinstance(self.look(), LookAgain):
                return
        raise AssertionError("goes round in circles")

    def check(self, **answer: Any) -> None:
        """One whole check."""
        self.settle()
        self.answer(**answer)
        self.settle()

    @property
    def ready(self) -> Any:
        """The Ready condition."""
        return next(found for found in self.target.status.conditions if found.type == "Ready")


def test_a_check_on_a_lost_node_is_an_answer_too() -> None:
    """The target says so, and the next check may run elsewhere."""
    clock = Clock()
    clock.settle()
    pod = PodFacts(name="worker-1", node="node-7", due_gone=clock.now - timedelta(minutes=6))
    clock.jobs[-1] = replace(clock.jobs[-1], pods=(pod,))
    clock.settle()
    assert (clock.ready.reason, clock.jobs) == ("NodeLost", [])
    clock.now += timedelta(minutes=1)
    clock.settle()
    assert len(clock.jobs) == 1


def test_only_a_new_verdict_is_told() -> None:
    """A check that goes on, or that finds the same again, is no transition; another reason is one."""
    clock = Clock()
    told: list[tuple[str, str]] = []

    def check(**answer: Any) -> None:
        before = clock.target.status
        clock.settle()
        assert not is_transition(before, clock.target.status)
        clock.answer(**answer)
        before = clock.target.status
        clock.look()
        if is_transition(before, clock.target.status):
            told.append((clock.ready.status, clock.ready.reason))
        clock.settle()
        clock.now += timedelta(hours=1)

    for reason in (Reason.SUCCEEDED, Reason.SUCCEEDED, Reason.ACCESS_DENIED, Reason.ACCESS_DENIED, Reason.SUCCEEDED):
        check(reason=reason)
    check(reason=Reason.BUCKET_NOT_FOUND)
    assert told == [
        ("True", "Succeeded"),
        ("False", "AccessDenied"),
        ("True", "Succeeded"),
        ("False", "BucketNotFound"),
    ]


def test_a_new_target_is_checked_and_becomes_ready() -> None:
    """One Job, one answer; the repository's identity is recorded, and the Job is deleted."""
    clock = Clock()
    clock.settle()
    assert (clock.ready.status, clock.ready.reason) == ("False", "Running")
    clock.answer()
    clock.settle()
    assert (clock.ready.status, clock.target.status.repository_id) == ("True", "repo-1")
    assert clock.target.status.last_validation_time == NOW
    assert not clock.jobs
    assert clock.started == 1


def test_it_is_checked_again_every_hour_and_stays_ready_meanwhile() -> None:
    """A check that is only due by time does not make a ready target unready."""
    clock = Clock()
    clock.check()
    clock.now += timedelta(minutes=59)
    clock.settle()
    assert clock.started == 1
    clock.now += timedelta(minutes=1)
    clock.settle()
    assert clock.started == 2
    assert clock.ready.status == "True"
    clock.answer()
    clock.settle()
    assert clock.target.status.next_validation_time == clock.now + timedelta(hours=1)


@pytest.mark.parametrize("change", ["spec", "secret"])
def test_a_change_is_checked_at_once(change: str) -> None:
    """A changed spec makes the old verdict worthless; a changed Secret is checked while the old verdict stands."""
    clock = Clock()
    clock.check()
    if change == "spec":
        metadata = clock.target.metadata.model_copy(update={"generation": 2})
        clock.target = clock.target.model_copy(update={"metadata": metadata})
    else:
        clock.version = "v2"
    clock.settle()
    assert clock.started == 2
    assert clock.ready.status == ("False" if change == "spec" else "True")
    clock.answer()
    clock.settle()
    assert is_true(clock.target.status.conditions, "Ready")
    assert clock.ready.observed_generation == clock.target.metadata.generation


def test_a_change_during_a_check_starts_another_one() -> None:
    """The Job that asked the old question is deleted, and its answer is not taken."""
    clock = Clock()
    clock.settle()
    old = clock.jobs[0].name
    clock.version = "v2"
    clock.settle()
    assert [job.name for job in clock.jobs] != [old]
    assert len(clock.jobs) == 1
    clock.answer()
    clock.settle()
    assert is_true(clock.target.status.conditions, "Ready")


@pytest.mark.parametrize(
    "reason", [Reason.ACCESS_DENIED, Reason.BUCKET_NOT_FOUND, Reason.WRONG_KEY, Reason.ENDPOINT_UNREACHABLE]
)
def test_the_workers_reason_is_the_targets(reason: Reason) -> None:
    """What the worker found is the condition's reason, with when it is tried again in the message."""
    clock = Clock()
    clock.check(reason=reason)
    assert (clock.ready.status, clock.ready.reason) == ("False", reason.value)
    assert is_true(clock.target.status.conditions, "Stalled")
    assert "the store refuses the credentials" in clock.ready.message
    assert "checked again at 12:00:30" in clock.ready.message


def test_failed_checks_are_repeated_less_and_less_often() -> None:
    """The time between failed checks doubles up to half an hour; success starts over."""
    clock = Clock()
    waits = []
    for _ in range(9):
        clock.check(reason=Reason.ACCESS_DENIED)
        due = clock.target.status.next_validation_time
        assert due is not None
        waits.append((due - clock.now).total_seconds())
        clock.now = due
    assert waits == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert "failed 9 times" in clock.ready.message
    clock.check()
    assert is_true(clock.target.status.conditions, "Ready")
    assert clock.target.status.failed_validations is None


def test_secrets_that_cannot_be_used_need_no_job() -> None:
    """A missing Secret is told at once; when it is there, the check follows by itself."""
    clock = Clock()
    clock.secrets, clock.version = Refusal(Reason.SECRET_NOT_FOUND, "Secret key does not exist; create it"), "none"
    clock.settle()
    assert (clock.ready.reason, clock.started) == ("SecretNotFound", 0)
    clock.secrets, clock.version = None, "v1"
    clock.check()
    assert is_true(clock.target.status.conditions, "Ready")


def test_a_running_check_ends_when_the_secret_is_gone() -> None:
    """Its Job is deleted: it asks with a Secret that nobody wants to be used any more."""
    clock = Clock()
    clock.settle()
    clock.secrets, clock.version = Refusal(Reason.SECRET_NOT_FOUND, "gone"), "none"
    clock.settle()
    assert not clock.jobs


def test_a_swapped_bucket_is_noticed() -> None:
    """A repository with another identity than the first one makes the target unusable, and is not adopted."""
    clock = Clock()
    clock.check()
    clock.now += timedelta(hours=1)
    clock.check(repository="repo-2")
    assert clock.ready.reason == "RepositoryChanged"
    assert "repo-2" in clock.ready.message
    assert clock.target.status.repository_id == "repo-1"


def test_an_emptied_bucket_is_not_laid_out_anew() -> None:
    """The check of a target that had a repository asks for that one; its absence is told as what it is."""
    clock = Clock()
    clock.check()
    clock.now += timedelta(hours=1)
    clock.settle()
    assert clock.runs[-1].repository_id == "repo-1"
    clock.answer(reason=Reason.REPOSITORY_NOT_FOUND)
    clock.settle()
    assert clock.ready.reason == "RepositoryChanged"
    assert "holds no repository" in clock.ready.message


def test_a_report_of_another_run_is_not_believed() -> None:
    """A worker can only answer the question it was asked."""
    clock = Clock()
    clock.check(run_id="another")
    assert clock.ready.reason == "ReportRejected"


def test_a_status_that_was_not_saved_is_decided_again() -> None:
    """Killed between status and step, the same Job is asked for; killed after it, it is found again."""
    clock = Clock()
    before = clock.target
    clock.look()
    clock.target = before
    clock.settle()
    assert clock.started == 1
