"""What a planner knows of a worker Job, and which of its answers it believes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.report import Progress, RunReport

NODE_PATIENCE = timedelta(minutes=5)
"""How long a pod may be overdue. Kubernetes itself waits as long before it evicts pods from a silent node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A worker's pod."""

    name: str
    node: str = ""
    """Empty until it is scheduled."""
    due_gone: datetime | None = None
    """When it should have ended (its deletion plus the grace period); None once it has, and while nobody deletes it."""

    def is_lost(self, now: datetime) -> bool:
        """Whether its node does not carry out its deletion: only a kubelet can say that a pod has ended."""
        return self.due_gone is not None and now - self.due_gone > NODE_PATIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One worker Job as observed. `outcome` is None while it goes on."""

    name: str
    uid: str
    deleting: bool = False
    outcome: Literal["Complete", "Failed"] | None = None
    failure: str = ""
    """The Job's own sentence about why it failed, such as a deadline."""
    queue: str = ""
    """The LocalQueue of Kueue that has not admitted it yet."""
    waiting_for: str = ""
    """Why its pod does not run yet, as the scheduler or the kubelet says."""
    termination_message: str = ""
    """Of the last pod that ended."""
    memory_limit: str = ""
    """The limit at which the last pod that ended was killed; empty when it was not killed for its memory."""
    pods: tuple[PodFacts, ...] = ()
    """Those that have not ended."""
    progress: Progress | None = None
    """The last line that the worker wrote, if it is of this run."""
    secret_owned: bool = True
    """Whether the run's Secret has the Job as its owner, so that it goes when the Job goes."""


def read_report(
    job: JobFacts, *, run_id: str, verb: str, volumes: Iterable[str] = (), optional: Iterable[str] = ()
) -> RunReport | Refusal:
    """The report of a Job that ended; refused when it is not of this run, of other volumes, or says failure.

    `optional` are further volumes that it may leave out.

    A worker's word is only taken for what it was asked to do: its log and message can be written by whoever is in it.
    """
    if not job.termination_message.strip():
        return _without_report(job)
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
    free = set(optional)
    asked, answered = sorted(volumes), sorted(volume.name for volume in report.volumes if volume.name not in free)
    if asked != answered:
        message = f"the report of Job {job.name} is of volumes {answered}, asked for were {asked}"
        return Refusal(Reason.REPORT_REJECTED, message[:1024])
    return report


def refuse_lost_node(pods: Iterable[PodFacts], now: datetime) -> Refusal | None:
    """Why a Job can neither go on nor end: the node of one of its pods is away, and nobody else may call it ended."""
    lost = next((pod for pod in pods if pod.is_lost(now)), None)
    if lost is None:
        return None
    message = (
        f"node {lost.node or 'of the worker'} does not answer: pod {lost.name} should have been gone at "
        f"{lost.due_gone:%FT%TZ}. Bring the node back, or delete its Node object when it is gone for good"
    )
    return Refusal(Reason.NODE_LOST, message)


def _without_report(job: JobFacts) -> Refusal:
    if job.memory_limit:
        message = (
            f"worker Job {job.name} was killed for its memory (OOMKilled): it needed more than its limit of "
            f"{job.memory_limit}; raise the chart's worker.memoryLimit"
        )
        return Refusal(Reason.JOB_FAILED, message)
    message = f"worker Job {job.name} ended without a report: {job.failure or 'its log says more'}"
    return Refusal(Reason.TIMED_OUT if "deadline" in job.failure else Reason.JOB_FAILED, message)


def _known_reason(reason: str) -> Reason:
    """The worker's reason, unless it is none of the closed list or no failure."""
    try:
        known = Reason(reason)
    except ValueError:
        return Reason.JOB_FAILED
    return Reason.JOB_FAILED if known is Reason.SUCCEEDED else known
