"""A Job's podFailurePolicy, as the Job controller plays it."""

import pytest
from tests.sandbox.kubelet.test_job_plan import NOW, conditions, job, pod

from sandbox.cluster.client import Object, timestamp
from sandbox.kubelet.job_plan import plan_job

POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "worker", "operator": "In", "values": [3]}},
    ]
}


def failed(code: int, *, disrupted: bool = False, container: str = "worker") -> Object:
    """A pod of the Job whose container ended with that code."""
    found = pod("Failed")
    found["metadata"] |= {"name": "p", "namespace": "ns"}
    (status,) = found["status"]["containerStatuses"]
    status["name"] = container
    status["state"]["terminated"]["exitCode"] = code
    if disrupted:
        found["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    return found


@pytest.mark.parametrize(
    ("ended", "counted", "fails"),
    [
        (failed(1), True, False),
        (failed(3), True, True),
        (failed(3, container="proxy"), True, False),
        (failed(1, disrupted=True), False, False),
        (failed(3, disrupted=True), False, False),
    ],
    ids=["retried", "final", "another container", "evicted", "evicted at its end"],
)
def test_the_first_rule_that_matches_decides(ended: Object, counted: bool, fails: bool) -> None:
    """An exit code of the policy ends the Job at once; a pod that was evicted costs no attempt."""
    plan = plan_job(job({"startTime": timestamp(NOW)}, podFailurePolicy=POLICY, backoffLimit=2), [ended], now=NOW)
    assert bool(plan.status["uncountedTerminatedPods"].get("failed")) == counted
    assert conditions(plan.status) == ({"FailureTarget": "PodFailurePolicy"} if fails else {})


def test_a_final_failure_names_container_pod_code_and_rule() -> None:
    """The words are those of the real controller."""
    policy = {"podFailurePolicy": POLICY, "backoffLimit": 2}
    first = plan_job(job({"startTime": timestamp(NOW)}, **policy), [failed(3)], now=NOW)
    freed = failed(3)
    freed["metadata"]["finalizers"] = []
    second = plan_job(job(first.status, **policy), [freed], now=NOW)
    (ended,) = [item for item in second.status["conditions"] if item["type"] == "Failed"]
    assert ended["message"] == "Container worker for pod ns/p failed with exit code 3 matching FailJob rule at index 1"
    assert second.create == 0
