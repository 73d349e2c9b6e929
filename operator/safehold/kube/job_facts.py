"""What is to be seen of a worker Job: its outcome, the end of its last pod, and how far it is."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from safehold.errors import ClusterError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.jobs import CONTAINER, JOB_NAME_LABEL, KUEUE_QUEUE
from safehold.kube.kinds import JOB, POD, SECRET
from safehold.plan.job import JobFacts, PodFacts
from safehold.report import Progress, RunReport, VolumeLine

LOG_LINE_LIMIT_BYTES = 64 * 1024
_PULL_PROBLEMS = ("ErrImagePull", "ImagePullBackOff")
"""The kubelet goes back and forth between these two, each with other words; to people they are one state."""
_STRAY_LINES = 50
"""Lines of others, such as warnings at the interpreter's end, that may follow the worker's last one."""


async def observe_job(cluster: Cluster, namespace: str, name: str, *, run_id: str) -> JobFacts | None:
    """The Job, the end of its newest pod, and the last progress line that this run wrote."""
    manifest = await cluster.get(JOB, name, namespace)
    if manifest is None:
        return None
    pods = await cluster.list(POD, namespace, labels={JOB_NAME_LABEL: name})
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    outcome, failure = _outcome(manifest)
    secret = await cluster.get(SECRET, name, namespace)
    last = _ended(pods, outcome)
    return JobFacts(
        name=name,
        uid=manifest["metadata"]["uid"],
        deleting="deletionTimestamp" in manifest["metadata"],
        outcome=outcome,
        failure=failure,
        queue=_queue(manifest),
        waiting_for=_waiting_for(pods[-1]) if pods and outcome is None else "",
        termination_message=await _report(cluster, last, run_id),
        memory_limit=_exceeded_limit(last) if last else "",
        pods=tuple(pod_facts(pod) for pod in pods if not has_ended(pod)),
        progress=None if outcome else await _progress(cluster, pods, run_id),
        secret_owned=secret is None or bool(secret["metadata"].get("ownerReferences")),
    )


def _queue(manifest: Manifest) -> str:
    labels = manifest["metadata"].get("labels") or {}
    return str(labels.get(KUEUE_QUEUE) or "") if manifest["spec"].get("suspend") else ""


def pod_facts(pod: Manifest) -> PodFacts:
    """What the planner needs of a pod. Its deletionTimestamp is the end of the grace period, not its beginning."""
    metadata = pod["metadata"]
    deletion = None if has_ended(pod) else metadata.get("deletionTimestamp")
    return PodFacts(
        name=metadata["name"],
        node=pod["spec"].get("nodeName") or "",
        due_gone=datetime.fromisoformat(deletion) if deletion else None,
    )


def has_ended(pod: Manifest) -> bool:
    """Whether the kubelet said that all its containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _exceeded_limit(pod: Manifest) -> str:
    if _container_state(pod).get("terminated", {}).get("reason") != "OOMKilled":
        return ""
    resources = pod["spec"]["containers"][0].get("resources") or {}
    return str((resources.get("limits") or {}).get("memory") or "the node's memory")


def _outcome(manifest: Manifest) -> tuple[Literal["Complete", "Failed"] | None, str]:
    for condition in (manifest.get("status") or {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return condition["type"], f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return None, ""


def _ended(pods: list[Manifest], outcome: str | None) -> Manifest | None:
    """The pod that succeeded when the Job did, else the last one that ended."""
    wanted = "Succeeded" if outcome == "Complete" else "Failed"
    return next((pod for pod in reversed(pods) if (pod.get("status") or {}).get("phase") == wanted), None)


async def _report(cluster: Cluster, pod: Manifest | None, run_id: str) -> str:
    """The pod's termination message, with the volumes out of its log where they are too many for the message."""
    message = str(_container_state(pod).get("terminated", {}).get("message") or "") if pod else ""
    if pod is None or '"volumes_in_log"' not in message:
        return message
    try:
        report = RunReport.model_validate_json(message)
    except ValidationError:  # the plan judges it
        return message
    metadata = pod["metadata"]
    lines = report.volumes_in_log + _STRAY_LINES
    text = await cluster.pod_log(metadata["namespace"], metadata["name"], container=CONTAINER, tail_lines=lines)
    volumes = [line.volume for line in map(_volume_line, text.splitlines()) if line and line.run_id == run_id]
    return report.model_copy(update={"volumes": volumes, "volumes_in_log": 0}).model_dump_json()


def _volume_line(text: str) -> VolumeLine | None:
    try:
        return VolumeLine.model_validate_json(text)
    except ValidationError:
        return None


def _container_state(pod: Manifest) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    state: dict[str, Any] = statuses[0].get("state") or {} if statuses else {}
    return state


def _waiting_for(pod: Manifest) -> str:
    waiting = _container_state(pod).get("waiting") or {}
    if waiting.get("reason") in _PULL_PROBLEMS:
        image = pod["spec"]["containers"][0].get("image")
        return f"image {image} cannot be pulled"
    if waiting.get("reason"):
        return f"{waiting['reason']} {waiting.get('message', '')}".strip()
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


async def _progress(cluster: Cluster, pods: list[Manifest], run_id: str) -> Progress | None:
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    if not running:
        return None
    metadata = running[-1]["metadata"]
    try:
        text = await cluster.pod_log(
            metadata["namespace"],
            metadata["name"],
            container=CONTAINER,
            tail_lines=1,
            limit_bytes=LOG_LINE_LIMIT_BYTES,
        )
        progress = Progress.model_validate_json(text)
    except (ValidationError, ClusterError):  # another kind of line, a node that is away: progress decides nothing
        return None
    return progress if progress.run_id == run_id else None
