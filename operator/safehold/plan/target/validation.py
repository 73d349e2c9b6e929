"""When a target is checked again, and what its status says about the last check.

The check itself is a worker Job. One Job belongs to one question (spec, Secrets, due time), which its name is made
from: when one of them changes, the old Job's answer counts no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from safehold.api import Condition
from safehold.api.target import TargetStatus
from safehold.plan.conditions import READY, STALLED, State, conditions_for, is_true
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.names import job_name
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import AnyTarget, TargetFacts
from safehold.reasons import Reason
from safehold.report import RunReport
from safehold.run import TargetRun

VALIDATION_PERIOD = timedelta(hours=1)
BACK_OFF = (timedelta(seconds=30), timedelta(minutes=30))
"""First and longest time until a failed check is repeated; it doubles in between."""
SECRETS_POLL = timedelta(seconds=30)
"""How often the Secrets are looked at: watching every Secret of the cluster would be worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTarget:
    """What a target's check depends on, beside the target itself."""

    facts: TargetFacts | Refusal
    """What the spec asks for; refused when its endpoint is."""
    secrets_version: str
    secrets: Refusal | None
    """Why its Secrets cannot be used."""
    jobs: Sequence[JobFacts]
    """All validation Jobs of this target."""


@dataclass(frozen=True, slots=True)
class StartValidation:
    """Start the Job of that name, with that run."""

    job: str
    run: TargetRun


@dataclass(frozen=True, slots=True)
class DeleteJobs:
    """Delete Jobs whose answer was taken, or counts no more."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nothing to do before `at`."""

    at: datetime


ValidationStep = StartValidation | DeleteJobs | LookAgain


def validation_job(target: AnyTarget, secrets_version: str) -> str:
    """Name, and run id, of the Job that answers for this spec and these Secrets at the time that is due."""
    due = target.status.next_validation_time
    attempt = f"{target.metadata.generation} {secrets_version} {due.isoformat() if due else ''}"
    return job_name("target", target.metadata.name, target.metadata.uid, attempt)


def next_validation(target: AnyTarget, seen: ObservedTarget, now: datetime) -> tuple[ValidationStep, TargetStatus]:
    """What to do next about a target's check, and the status to set before that."""
    refusal = seen.facts if isinstance(seen.facts, Refusal) else seen.secrets
    if refusal is not None:
        return _sweep(seen, keep="") or LookAgain(now + SECRETS_POLL), _unusable(target, seen, refusal, now)
    assert isinstance(seen.facts, TargetFacts)
    target = target.model_copy(update={"status": _opened(target, seen, now)})
    name = validation_job(target, seen.secrets_version)
    job = next((found for found in seen.jobs if found.name == name and not found.deleting), None)
    if job is not None and (answer := _answer(job, now)):
        return DeleteJobs((name,)), _answered(target, answer, now)
    due = target.status.next_validation_time
    is_due = due is None or due <= now
    stale = _sweep(seen, keep=name if is_due else "")
    if stale is not None:
        return stale, target.status
    if not is_due or job is not None:
        return LookAgain(_next_look(target.status, now)), target.status
    run = TargetRun(
        run_id=name,
        repository=seen.facts.place,
        access_mode=seen.facts.access_mode,
        repository_id=target.status.repository_id,
    )
    return StartValidation(name, run), target.status


def _answer(job: JobFacts, now: datetime) -> RunReport | Refusal | None:
    """What the Job found; None while it is at it."""
    if job.outcome is not None:
        return read_report(job, run_id=job.name, verb="target")
    return refuse_lost_node(job.pods, now)


def is_transition(before: TargetStatus, after: TargetStatus) -> bool:
    """Whether a check ended with something else than the one before; that a check goes on is no news."""
    if not (is_true(after.conditions, READY) or is_true(after.conditions, STALLED)):
        return False
    return _verdict(before) != _verdict(after)


def _verdict(status: TargetStatus) -> tuple[str, str] | None:
    return next(((found.status, found.reason) for found in status.conditions if found.type == READY), None)


def _opened(target: AnyTarget, seen: ObservedTarget, now: datetime) -> TargetStatus:
    """The status once a change of spec or Secrets is noted: no due time, which is to say now.

    A target that was ready stays so while only its Secrets changed, until the answer says otherwise.
    """
    status = target.status
    same_spec = status.observed_generation == target.metadata.generation
    if same_spec and status.secrets_version == seen.secrets_version:
        return status
    if same_spec and is_true(status.conditions, "Ready"):
        return status.model_copy(update={"next_validation_time": None, "secrets_version": seen.secrets_version})
    message = "a worker checks bucket, credentials and key"
    return _changed(
        target,
        "InProgress",
        Reason.RUNNING,
        message,
        now,
        next_validation_time=None,
        secrets_version=seen.secrets_version,
        failed_validations=None,
    )


def _next_look(status: TargetStatus, now: datetime) -> datetime:
    due = status.next_validation_time
    return now + SECRETS_POLL if due is None or due <= now else min(due, now + SECRETS_POLL)


def _sweep(seen: ObservedTarget, *, keep: str) -> DeleteJobs | None:
    stale = tuple(job.name for job in seen.jobs if job.name != keep and not job.deleting)
    return DeleteJobs(stale) if stale else None


def _answered(target: AnyTarget, report: RunReport | Refusal, now: datetime) -> TargetStatus:
    report = _refuse_another(target.status.repository_id, report) or report
    if isinstance(report, Refusal):
        return _failed(target, report, now)
    return _changed(
        target,
        "Ready",
        Reason.SUCCEEDED,
        "bucket, credentials and key work together",
        now,
        repository_id=report.repository_id,
        last_validation_time=now,
        next_validation_time=now + VALIDATION_PERIOD,
        failed_validations=None,
    )


def _refuse_another(known: str | None, report: RunReport | Refusal) -> Refusal | None:
    """Whether the target had another repository before than the one, or none, that was found now."""
    if isinstance(report, Refusal):
        is_gone = known is not None and report.reason is Reason.REPOSITORY_NOT_FOUND
        found = "holds no repository" if is_gone else None
    else:
        found = f"holds repository {report.repository_id}" if known not in (None, report.repository_id) else None
    if found is None:
        return None
    remedy = "bring the old one back, or create another target for the new one"
    message = f"the bucket {found}, expected was {known}: it was swapped or emptied; {remedy}"
    return Refusal(Reason.REPOSITORY_CHANGED, message)


def _failed(target: AnyTarget, refusal: Refusal, now: datetime) -> TargetStatus:
    failures = (target.status.failed_validations or 0) + 1
    first, longest = BACK_OFF
    again = now + min(longest, first * 2 ** min(failures - 1, 16))
    times = "time" if failures == 1 else "times"
    message = f"{refusal.message} (failed {failures} {times}; checked again at {again:%H:%M:%S} UTC or after a change)"
    return _changed(
        target,
        "Stalled",
        refusal.reason,
        message,
        now,
        next_validation_time=again,
        failed_validations=failures,
    )


def _unusable(target: AnyTarget, seen: ObservedTarget, refusal: Refusal, now: datetime) -> TargetStatus:
    """Found without a Job. It is looked at every time, so there is nothing to wait for."""
    return _changed(
        target,
        "Stalled",
        refusal.reason,
        refusal.message,
        now,
        next_validation_time=None,
        secrets_version=seen.secrets_version,
        failed_validations=None,
    )


_PHASES: dict[State, str] = {"Ready": "Ready", "InProgress": "Checking", "Stalled": "Unavailable"}


def _changed(
    target: AnyTarget, state: State, reason: Reason, message: str, now: datetime, **facts: Any
) -> TargetStatus:
    generation = target.metadata.generation
    conditions: list[Condition] = conditions_for(
        state, target.status.conditions, generation=generation, now=now, reason=reason, message=message
    )
    changes = {"observed_generation": generation, "phase": _PHASES[state], "conditions": conditions, **facts}
    return target.status.model_copy(update=changes)
