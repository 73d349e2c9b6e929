"""What the Job controller decides, as a plain function over a Job and its pods (pkg/controller/job).

Ended pods are counted exactly once: their uids go into status.uncountedTerminatedPods, then their finalizers go, then
the uids become numbers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import finalizers_of, is_deleting
from sandbox.kubelet.failure_policy import judge

TRACKING = "batch.kubernetes.io/job-tracking"
_MAX_BACKOFF_SECONDS = 600.0


@dataclass(slots=True)
class Notice:
    """An event about the Job."""

    event_type: str
    reason: str
    message: str


@dataclass(slots=True)
class JobPlan:
    """What to do now, in this order: write the status, free and delete pods, create pods."""

    status: Object
    release: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    create: int = 0
    notices: list[Notice] = field(default_factory=list)
    requeue_seconds: float | None = None
    delete_job: bool = False


def plan_job(job: Object, pods: list[Object], *, now: datetime, backoff_seconds: float = 10.0) -> JobPlan:
    """The next step of a Job. `pods` are those that it controls; `backoff_seconds` follows the first failed pod."""
    plan = JobPlan(status=copy.deepcopy(job.get("status") or {}))
    _count_ended(plan, job, pods)
    active = [pod for pod in pods if not has_ended(pod) and not is_deleting(pod)]
    plan.status["active"] = len(active)
    plan.status["ready"] = sum(_is_ready(pod) for pod in active)
    plan.status["terminating"] = sum(is_deleting(pod) and not has_ended(pod) for pod in pods)
    if is_finished(job):
        plan.delete = active
        _expire(plan, job, now)
        return plan
    suspended = bool(job["spec"].get("suspend"))
    if not suspended and "startTime" not in plan.status:
        plan.status["startTime"] = timestamp(now)
    if failure := _failure(job, plan.status, pods, now):
        plan.delete = active
        _fail(plan, failure, now, all_ended=not active)
        return plan
    succeeded = _total(plan.status, "succeeded")
    completions = int(job["spec"].get("completions") or 1)
    if succeeded >= completions:
        plan.delete = active
        _complete(plan, now, all_ended=not active)
        return plan
    if suspended:
        plan.delete = active
        _suspend(plan, now)
        return plan
    _resume(plan, now)
    _start_pods(plan, job, pods, len(active), completions - succeeded, now, backoff_seconds)
    return plan


def is_finished(job: Object) -> bool:
    """True once the Job is Complete or Failed."""
    return bool(
        _true_condition(job.get("status") or {}, "Complete") or _true_condition(job.get("status") or {}, "Failed")
    )


def has_ended(pod: Object) -> bool:
    """True for a pod whose containers have all ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _count_ended(plan: JobPlan, job: Object, pods: list[Object]) -> None:
    suspended = bool(job["spec"].get("suspend"))
    uncounted = plan.status.get("uncountedTerminatedPods") or {}
    listed = {kind: list(uncounted.get(kind) or []) for kind in ("succeeded", "failed")}
    held = {pod["metadata"]["uid"] for pod in pods if TRACKING in finalizers_of(pod)}
    for kind, uids in listed.items():
        freed = [uid for uid in uids if uid not in held]
        plan.status[kind] = int(plan.status.get(kind) or 0) + len(freed)
        listed[kind] = [uid for uid in uids if uid in held]
    known = {*listed["succeeded"], *listed["failed"]}
    for pod in pods:
        uid = pod["metadata"]["uid"]
        if uid not in held or not has_ended(pod):
            continue
        plan.release.append(pod)
        # Pods that a suspension stops count neither as successes nor as failures.
        if uid in known or (suspended and is_deleting(pod)):
            continue
        if pod["status"]["phase"] == "Succeeded":
            listed["succeeded"].append(uid)
        elif judge(job, pod).counts:
            listed["failed"].append(uid)
    plan.status["uncountedTerminatedPods"] = {kind: uids for kind, uids in listed.items() if uids}


def _failure(job: Object, status: Object, pods: list[Object], now: datetime) -> Notice | None:
    started, deadline = status.get("startTime"), job["spec"].get("activeDeadlineSeconds")
    suspended = bool(job["spec"].get("suspend"))
    if _true_condition(status, "FailureTarget"):
        known = _true_condition(status, "FailureTarget") or {}
        return Notice("Warning", known["reason"], known["message"])
    for pod in pods:
        if (pod.get("status") or {}).get("phase") == "Failed" and (message := judge(job, pod).job_failure):
            return Notice("Warning", "PodFailurePolicy", message)
    limit = job["spec"].get("backoffLimit")
    failures = _total(status, "failed") + _restarts(pods)
    if failures > (6 if limit is None else int(limit)):
        return Notice("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if started and deadline is not None and not suspended and now >= _time(started) + timedelta(seconds=deadline):
        return Notice("Warning", "DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def _fail(plan: JobPlan, failure: Notice, now: datetime, *, all_ended: bool) -> None:
    _set_condition(plan.status, "FailureTarget", failure.reason, failure.message, now)
    if all_ended and not plan.status["terminating"] and not plan.status["uncountedTerminatedPods"]:
        _set_condition(plan.status, "Failed", failure.reason, failure.message, now)
        plan.notices.append(failure)


def _complete(plan: JobPlan, now: datetime, *, all_ended: bool) -> None:
    reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
    _set_condition(plan.status, "SuccessCriteriaMet", reason, message, now)
    if all_ended and not plan.status["terminating"] and not plan.status["uncountedTerminatedPods"]:
        _set_condition(plan.status, "Complete", reason, message, now)
        plan.status["completionTime"] = timestamp(now)
        plan.notices.append(Notice("Normal", "Completed", "Job completed"))


def _suspend(plan: JobPlan, now: datetime) -> None:
    plan.status.pop("startTime", None)
    if not _true_condition(plan.status, "Suspended"):
        _set_condition(plan.status, "Suspended", "JobSuspended", "Job suspended", now)
        plan.notices.append(Notice("Normal", "Suspended", "Job suspended"))


def _resume(plan: JobPlan, now: datetime) -> None:
    if _true_condition(plan.status, "Suspended"):
        _set_condition(plan.status, "Suspended", "JobResumed", "Job resumed", now, holds=False)
        plan.status["startTime"] = timestamp(now)
        plan.notices.append(Notice("Normal", "Resumed", "Job resumed"))


def _start_pods(
    plan: JobPlan, job: Object, pods: list[Object], active: int, missing: int, now: datetime, backoff_seconds: float
) -> None:
    wanted = min(int(job["spec"].get("parallelism", 1)), missing) - active - plan.status["terminating"]
    deadline = job["spec"].get("activeDeadlineSeconds")
    if deadline is not None:
        left = (_time(plan.status["startTime"]) + timedelta(seconds=deadline) - now).total_seconds()
        plan.requeue_seconds = max(left, 0.1)
    failures = _total(plan.status, "failed")
    if wanted <= 0:
        return
    if failures and backoff_seconds:
        last = max((_ended_at(pod) for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"), default=None)
        delay = min(backoff_seconds * 2.0 ** (failures - 1), _MAX_BACKOFF_SECONDS)
        left = (last + timedelta(seconds=delay) - now).total_seconds() if last else 0
        if left > 0:
            plan.requeue_seconds = min(left, plan.requeue_seconds or left)
            return
    plan.create = wanted
    plan.status["active"] = active + wanted


def _expire(plan: JobPlan, job: Object, now: datetime) -> None:
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None:
        return
    ended = _true_condition(plan.status, "Complete") or _true_condition(plan.status, "Failed") or {}
    left = (_time(ended["lastTransitionTime"]) + timedelta(seconds=ttl) - now).total_seconds()
    plan.delete_job = left <= 0
    plan.requeue_seconds = max(left, 0.1)


def _total(status: Object, kind: str) -> int:
    return int(status.get(kind) or 0) + len((status.get("uncountedTerminatedPods") or {}).get(kind) or [])


def _restarts(pods: list[Object]) -> int:
    """Restarts of containers count as failures where pods restart them (restartPolicy OnFailure)."""
    running = [pod for pod in pods if not has_ended(pod)]
    return sum(
        int(status.get("restartCount", 0))
        for pod in running
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    )


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _ended_at(pod: Object) -> datetime:
    ends = [
        status["state"]["terminated"].get("finishedAt")
        for status in pod["status"].get("containerStatuses") or []
        if "terminated" in (status.get("state") or {})
    ]
    return max((_time(end) for end in ends if end), default=_time(pod["metadata"]["creationTimestamp"]))


def _true_condition(status: Object, condition_type: str) -> Object | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == condition_type and condition["status"] == "True":
            return dict(condition)
    return None


def _set_condition(
    status: Object, condition_type: str, reason: str, message: str, now: datetime, *, holds: bool = True
) -> None:
    if holds and _true_condition(status, condition_type):
        return
    kept = [item for item in status.get("conditions") or [] if item["type"] != condition_type]
    condition = {
        "type": condition_type,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
    }
    status["conditions"] = [*kept, condition]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
