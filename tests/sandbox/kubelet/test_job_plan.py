"""The Job controller's decisions over Jobs and pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.cluster.client import Object, timestamp
from sandbox.kubelet.job_plan import TRACKING, plan_job

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def job(status: Object | None = None, **spec: Any) -> Object:
    """A Job that is to run one pod."""
    return {
        "metadata": {"name": "j", "uid": "j1"},
        "spec": {"parallelism": 1, "completions": 1, **spec},
        "status": status,
    }


def pod(phase: str, uid: str = "p1", *, held: bool = True, ended: datetime = NOW) -> Object:
    """A pod of the Job; `held` by the tracking finalizer."""
    state = {"terminated": {"finishedAt": timestamp(ended)}} if phase in ("Succeeded", "Failed") else {"running": {}}
    return {
        "metadata": {"uid": uid, "finalizers": [TRACKING] if held else [], "creationTimestamp": timestamp(NOW)},
        "status": {"phase": phase, "containerStatuses": [{"state": state, "restartCount": 0}]},
    }


def conditions(status: Object) -> dict[str, str]:
    """True conditions with their reasons."""
    return {item["type"]: item["reason"] for item in status.get("conditions") or [] if item["status"] == "True"}


def test_a_new_job_starts_a_pod() -> None:
    """The first step sets startTime and makes one pod; with that pod there, nothing is made."""
    first = plan_job(job(), [], now=NOW)
    assert first.create == 1
    assert first.status["startTime"] == timestamp(NOW)
    assert plan_job(job(first.status), [pod("Pending")], now=NOW).create == 0


def test_a_pod_is_counted_exactly_once() -> None:
    """A success is listed, then freed, then counted, whatever step is repeated; only then the Job is Complete."""
    listed = plan_job(job({"startTime": timestamp(NOW)}), [pod("Succeeded")], now=NOW)
    assert listed.status["uncountedTerminatedPods"] == {"succeeded": ["p1"]}
    assert [item["metadata"]["uid"] for item in listed.release] == ["p1"]
    assert "Complete" not in conditions(listed.status)
    again = plan_job(job(listed.status), [pod("Succeeded")], now=NOW)
    assert again.status["uncountedTerminatedPods"] == {"succeeded": ["p1"]}
    for pods in ([pod("Succeeded", held=False)], []):
        counted = plan_job(job(listed.status), pods, now=NOW)
        assert counted.status["succeeded"] == 1
        assert counted.status["uncountedTerminatedPods"] == {}
        assert conditions(counted.status) == {
            "SuccessCriteriaMet": "CompletionsReached",
            "Complete": "CompletionsReached",
        }
        assert counted.status["completionTime"] == timestamp(NOW)
        assert counted.create == 0


@pytest.mark.parametrize(
    ("failed", "limit", "outcome"),
    [
        (1, 0, "BackoffLimitExceeded"),
        (1, 1, None),
        (2, 1, "BackoffLimitExceeded"),
        (6, None, None),
        (7, None, "BackoffLimitExceeded"),
    ],
)
def test_backoff_limit(failed: int, limit: int | None, outcome: str | None) -> None:
    """A Job fails when more pods have failed than its limit, which is 6 unless it says otherwise."""
    plan = plan_job(job({"startTime": timestamp(NOW), "failed": failed}, backoffLimit=limit), [], now=NOW)
    assert conditions(plan.status).get("Failed") == outcome
    assert plan.create == (0 if outcome else 1)


def test_failed_pods_are_replaced_later_and_later() -> None:
    """The second pod comes 10 s after the first failed, the third 20 s after the second."""
    for failed, delay in ((1, 10), (2, 20)):
        waiting = job({"startTime": timestamp(NOW), "failed": failed})
        pods = [pod("Failed", held=False)]
        early = plan_job(waiting, pods, now=NOW + timedelta(seconds=delay - 1))
        assert (early.create, early.requeue_seconds) == (0, 1)
        assert plan_job(waiting, pods, now=NOW + timedelta(seconds=delay)).create == 1


def test_deadline() -> None:
    """A Job that is active for too long loses its pod first and is Failed once that has ended."""
    spec = {"activeDeadlineSeconds": 60}
    running = job({"startTime": timestamp(NOW)}, **spec)
    early = plan_job(running, [pod("Running")], now=NOW + timedelta(seconds=50))
    assert (early.delete, early.requeue_seconds) == ([], 10)
    late = plan_job(running, [pod("Running")], now=NOW + timedelta(seconds=60))
    assert len(late.delete) == 1
    assert conditions(late.status) == {"FailureTarget": "DeadlineExceeded"}
    over = plan_job(job(late.status, **spec), [], now=NOW + timedelta(seconds=70))
    assert conditions(over.status) == {"FailureTarget": "DeadlineExceeded", "Failed": "DeadlineExceeded"}


def test_suspension() -> None:
    """A suspended Job has no pods and no startTime; resumed, it starts anew."""
    running = job({"startTime": timestamp(NOW)}, suspend=True)
    suspended = plan_job(running, [pod("Running")], now=NOW)
    assert len(suspended.delete) == 1
    assert conditions(suspended.status) == {"Suspended": "JobSuspended"}
    assert "startTime" not in suspended.status
    later = NOW + timedelta(hours=1)
    resumed = plan_job(job(suspended.status), [], now=later)
    assert resumed.create == 1
    assert resumed.status["startTime"] == timestamp(later)
    assert conditions(resumed.status) == {}


def test_a_suspension_counts_nothing() -> None:
    """A pod that a suspension has ended is freed, and is neither a success nor a failure."""
    stopped = pod("Succeeded")
    stopped["metadata"]["deletionTimestamp"] = timestamp(NOW)
    plan = plan_job(job({}, suspend=True), [stopped], now=NOW)
    assert len(plan.release) == 1
    assert plan.status["uncountedTerminatedPods"] == {}


def test_finished_jobs_expire() -> None:
    """With a time to live the Job is deleted that long after it ended, without one never."""
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": timestamp(NOW)}
    status = {"conditions": [ended], "succeeded": 1}
    assert not plan_job(job(status), [], now=NOW + timedelta(days=9)).delete_job
    waiting = plan_job(job(status, ttlSecondsAfterFinished=60), [], now=NOW + timedelta(seconds=20))
    assert (waiting.delete_job, waiting.requeue_seconds) == (False, 40)
    assert plan_job(job(status, ttlSecondsAfterFinished=60), [], now=NOW + timedelta(seconds=60)).delete_job
