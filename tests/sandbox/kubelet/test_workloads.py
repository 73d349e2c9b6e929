"""Jobs and Deployments on a running node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import DEPLOYMENT, JOB, POD
from sandbox.cluster.waiting import wait_until, wait_until_gone

if TYPE_CHECKING:
    from tests.sandbox.kubelet.conftest import Node


async def test_a_job_that_succeeds(node: Node) -> None:
    """A Job runs one pod, labelled and owned, and is Complete."""
    created = await node.job("j", "echo done")
    job = await node.job_condition("j", "Complete")
    assert job["status"]["succeeded"] == 1
    (pod,) = await node.pods_of(created)
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"
    assert await node.log(pod["metadata"]["name"]) == "done\n"


async def test_a_job_that_fails(node: Node) -> None:
    """A Job tries as often as its limit allows, then it is Failed with the reason of the limit."""
    created = await node.job("j", "exit 1", backoffLimit=1)
    job = await node.job_condition("j", "Failed")
    reasons = {item["type"]: item["reason"] for item in job["status"]["conditions"]}
    assert reasons["Failed"] == "BackoffLimitExceeded"
    assert job["status"]["failed"] == 2
    assert len(await node.pods_of(created)) == 2


async def test_a_job_that_cannot_succeed(node: Node) -> None:
    """An exit code of the podFailurePolicy ends the Job after one pod, however many attempts are left."""
    final = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}
    created = await node.job("j", "exit 3", backoffLimit=5, podFailurePolicy={"rules": [final]})
    job = await node.job_condition("j", "Failed")
    reasons = {item["type"]: item["reason"] for item in job["status"]["conditions"]}
    assert reasons == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}
    assert len(await node.pods_of(created)) == 1


async def test_suspending_a_running_job(node: Node) -> None:
    """Suspending ends the pod in good order; resuming starts a new one."""
    created = await node.job("j", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    has_ready = lambda obj: ((obj or {}).get("status") or {}).get("ready") == 1  # noqa: E731
    await wait_until(node.cluster, JOB, "j", "a", reached=has_ready, timeout_seconds=180)
    (first,) = await node.pods_of(created)
    await node.cluster.patch(JOB, "j", {"spec": {"suspend": True}}, "a")
    await node.job_condition("j", "Suspended")
    await wait_until_gone(node.cluster, POD, first["metadata"]["name"], "a", timeout_seconds=180)
    await node.cluster.patch(JOB, "j", {"spec": {"suspend": False}}, "a")
    await wait_until(node.cluster, JOB, "j", "a", reached=has_ready, timeout_seconds=180)
    (second,) = await node.pods_of(created)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_deleting_a_job_takes_its_pods(node: Node) -> None:
    """A deleted Job's pods are stopped and go, also those that were counted already."""
    created = await node.job("j", "while :; do sleep 0.05; done")
    has_ready = lambda obj: ((obj or {}).get("status") or {}).get("ready") == 1  # noqa: E731
    await wait_until(node.cluster, JOB, "j", "a", reached=has_ready, timeout_seconds=180)
    (pod,) = await node.pods_of(created)
    await node.cluster.delete(JOB, "j", "a", propagation="Background")
    await wait_until_gone(node.cluster, JOB, "j", "a", timeout_seconds=180)
    await wait_until_gone(node.cluster, POD, pod["metadata"]["name"], "a", timeout_seconds=180)


async def test_time_to_live(node: Node) -> None:
    """A finished Job goes by itself when its time is over."""
    await node.job("j", "true", ttlSecondsAfterFinished=0)
    await wait_until_gone(node.cluster, JOB, "j", "a", timeout_seconds=180)


async def test_a_deployment(node: Node) -> None:
    """A Deployment becomes Available; a new template replaces the pod, with Recreate only after the old one ended."""
    container = {
        "name": "c",
        "image": "shell",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"],
    }
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}},
    }
    await node.cluster.create(DEPLOYMENT, {"metadata": {"name": "d", "namespace": "a"}, "spec": spec})
    await wait_until(node.cluster, DEPLOYMENT, "d", "a", reached=_rolled_out, timeout_seconds=180)
    (first,) = await node.cluster.list(POD, "a")
    env = {"spec": {"template": {"metadata": {"annotations": {"generation": "2"}}}}}
    await node.cluster.patch(DEPLOYMENT, "d", env, "a")
    await wait_until_gone(node.cluster, POD, first["metadata"]["name"], "a", timeout_seconds=180)
    await wait_until(node.cluster, DEPLOYMENT, "d", "a", reached=_rolled_out, timeout_seconds=180)
    (second,) = await node.cluster.list(POD, "a")
    assert second["metadata"]["annotations"]["generation"] == "2"


def _rolled_out(obj: Object | None) -> bool:
    status = (obj or {}).get("status") or {}
    current = bool(obj) and status.get("observedGeneration") == (obj or {})["metadata"]["generation"]
    return current and status.get("updatedReplicas") == status.get("replicas") == status.get("availableReplicas") == 1
