"""When a target's repository is tidied up, and what its status says about it.

The work is a worker Job. One Job belongs to one due time, which its name is made from. What is due is derived from the
schedule and the end of the last maintenance: those that were missed collapse to one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.api.base import Failure
from safehold.api.maintenance import MAX_GONE_MACHINES, GoneMachine, MaintenanceStatus
from safehold.api.target import TargetStatus
from safehold.census import Census
from safehold.errors import SpecError
from safehold.plan.conditions import READY, is_true
from safehold.plan.job import JobFacts, read_report
from safehold.plan.names import job_name
from safehold.plan.policy.schedule import Schedule
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import AnyTarget, TargetFacts
from safehold.reasons import Reason
from safehold.report import MaintenanceReport, RunReport
from safehold.run import MaintainRun, PolicyRules

COMPACTION_PERIOD = timedelta(days=6, hours=12)
"""Once a week, by a schedule that runs every day at the same time."""
JOB_POLL = timedelta(seconds=15)
IDLE_POLL = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """What decides about the points of a target: all that must be known before any of them is forgotten."""

    rules: Sequence[PolicyRules] = ()
    policies: Iterable[str] = ()
    """uids of all policies that exist."""
    machines: Census
    """All VMs that exist."""
    held: Iterable[str] = ()
    """Restore points that are held."""


@dataclass(frozen=True, slots=True)
class StartMaintenance:
    """Start the Job of that name for what is due."""

    job: str


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """Carry the Job's answer into policies and catalogue, then set this status, then delete the Job."""

    job: str
    status: TargetStatus
    report: RunReport | Refusal


@dataclass(frozen=True, slots=True)
class DeleteStale:
    """Delete Jobs of other due times; nobody waits for their answer."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `at`. The status is the present one, with the time of the next maintenance."""

    at: datetime
    status: TargetStatus


MaintenanceStep = StartMaintenance | TakeAnswer | DeleteStale | Wait


def next_maintenance(target: AnyTarget, jobs: Sequence[JobFacts], now: datetime) -> MaintenanceStep:
    """What to do next about a target's maintenance. Deciding twice on the same facts gives the same Job."""
    status = target.status.maintenance or MaintenanceStatus()
    try:
        schedule = Schedule.parse(target.spec.maintenance.schedule, target.spec.maintenance.time_zone)
    except SpecError as error:
        return Wait(now + IDLE_POLL, _with(target, status, failure=_failure(Refusal(error.reason, str(error)))))
    since = max(filter(None, (status.last_time, target.metadata.creation_timestamp)), default=now)
    due = schedule.next_after(since)
    name = job_name("maintain", target.metadata.name, target.metadata.uid, due.isoformat())
    job = next((found for found in jobs if found.name == name and not found.deleting), None)
    if job is not None and job.outcome is not None:
        report = _answer(job)
        return TakeAnswer(name, _answered(target, status, report, schedule, now), report)
    if stale := tuple(found.name for found in jobs if found.name != name and not found.deleting):
        return DeleteStale(stale)
    if job is not None:
        return Wait(now + JOB_POLL, target.status)
    idle = _is_idle(target)
    if not idle and due <= now and not any(found.deleting for found in jobs):
        return StartMaintenance(name)
    waiting = _with(target, status, next_time=None if idle else due)
    return Wait(now + IDLE_POLL if idle or due <= now else min(due, now + IDLE_POLL), waiting)


def maintain_run(
    job: str, target: AnyTarget, facts: TargetFacts, governed: Governed, cluster_id: str, now: datetime
) -> MaintainRun:
    """What the Job of that name is asked to do."""
    status = target.status.maintenance or MaintenanceStatus()
    compacted = status.last_compaction_time
    return MaintainRun(
        run_id=job,
        repository=facts.place,
        repository_id=target.status.repository_id or "",
        cluster=cluster_id,
        time=now,
        rules=list(governed.rules),
        policies=sorted(governed.policies),
        machines=governed.machines.text(),
        gone={gone.vm_uid: gone.since for gone in status.gone_machines},
        held=sorted(governed.held),
        compact=compacted is None or now - compacted >= COMPACTION_PERIOD,
    )


def _is_idle(target: AnyTarget) -> bool:
    """Whether there is nothing that could be maintained now, or must not be."""
    status = target.status
    current = status.observed_generation == target.metadata.generation and is_true(status.conditions, READY)
    writable = target.spec.access_mode == "ReadWrite"
    return target.spec.maintenance.suspend or not (current and writable and status.repository_id)


def _answer(job: JobFacts) -> RunReport | Refusal:
    report = read_report(job, run_id=job.name, verb="maintain")
    if isinstance(report, RunReport) and report.maintenance is None:
        return Refusal(Reason.REPORT_REJECTED, f"the report of Job {job.name} does not say what was done")
    return report


def _answered(
    target: AnyTarget, status: MaintenanceStatus, report: RunReport | Refusal, schedule: Schedule, now: datetime
) -> TargetStatus:
    following = schedule.next_after(now)
    if isinstance(report, Refusal) or report.maintenance is None:
        failure = _failure(report) if isinstance(report, Refusal) else None
        return _with(target, status, last_time=now, next_time=following, failure=failure)
    found = report.maintenance
    return _with(
        target,
        status,
        last_time=now,
        last_successful_time=now,
        last_compaction_time=now if found.compacted else status.last_compaction_time,
        next_time=following,
        points=found.points,
        ungoverned_points=found.ungoverned,
        points_of_deleted_policies=found.of_gone_policies,
        points_of_deleted_machines=found.of_gone_machines,
        forgotten_points=found.forgotten,
        freed_bytes=found.freed_bytes,
        condemned_bytes=found.condemned_bytes,
        gone_machines=_gone(status.gone_machines, found, now),
        failure=None,
    )


def _gone(known: Iterable[GoneMachine], found: MaintenanceReport, now: datetime) -> list[GoneMachine]:
    """Those whose points are all gone make room for those that were noticed now."""
    left = {gone.vm_uid: gone for gone in known if gone.vm_uid not in found.emptied}
    for uid in found.newly_gone:
        left.setdefault(uid, GoneMachine(vm_uid=uid, since=now))
    return list(left.values())[:MAX_GONE_MACHINES]


def _failure(refusal: Refusal) -> Failure:
    return Failure(reason=refusal.reason.value, message=refusal.message[:1024])


def _with(target: AnyTarget, status: MaintenanceStatus, **changes: object) -> TargetStatus:
    return target.status.model_copy(update={"maintenance": status.model_copy(update=changes)})
