"""What a planner knows of a worker Job, and which of its answers it believes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.run import Progress, RunReport


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One worker Job as observed. `outcome` is None while it goes on."""

    name: str
    uid: str
    deleting: bool = False
    outcome: Literal["Complete", "Failed"] | None = None
    failure: str = ""
    """The Job's own sentence about why it failed, such as a deadline."""
    waiting_for: str = ""
    """Why its pod does not run yet, as the scheduler or the kubelet says."""
    termination_message: str = ""
    """Of the last pod that ended."""
    progress: Progress | None = None
    """The last line that the worker wrote, if it is of this run."""
    secret_owned: bool = True
    """Whether the run's Secret has the Job as its owner, so that it goes when the Job goes."""


def read_report(job: JobFacts, *, run_id: str, verb: str, volumes: Iterable[str] = ()) -> RunReport | Refusal:
    """The report of a Job that ended; refused when it is not of this run, of other volumes, or says failure.

    A worker's word is only taken for what it was asked to do: its log and message can be written by whoever is in it.
    """
    if not job.termination_message.strip():
        message = f"worker Job {job.name} ended without a report: {job.failure or 'its log says more'}"
        return Refusal(Reason.TIMED_OUT if "deadline" in job.failure else Reason.JOB_FAILED, message)
    try:
        report = RunReport.model_validate_json(job.termination_message)
    except ValidationError:
        message = f"worker Job {job.name} ended with something else than a report; its log says more"
        return Refusal(Reason.JOB_FAILED, message)
    if report.run_id != run_id or report.verb != verb:
        message = f"the report of Job {job.name} is of another run ({report.verb} {report.run_id})"
        return Refusal(Reason.REPORT_REJECTED, message)
    if not report.succeeded or job.outcome != "Complete":
        return Refusal(_known_reason(report.reason), report.message[:1024])
    asked, answered = sorted(volumes), sorted(volume.name for volume in report.volumes)
    if asked != answered:
        message = f"the report of Job {job.name} is of volumes {answered}, asked for were {asked}"
        return Refusal(Reason.REPORT_REJECTED, message[:1024])
    return report


def _known_reason(reason: str) -> Reason:
    """The worker's reason, unless it is none of the closed list or no failure."""
    try:
        known = Reason(reason)
    except ValueError:
        return Reason.JOB_FAILED
    return Reason.JOB_FAILED if known is Reason.SUCCEEDED else known
