"""Carry out what `plan.target.maintenance` decides about a target."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

from safehold.kube.client import Cluster
from safehold.kube.events import emit
from safehold.kube.job_facts import observe_job
from safehold.kube.jobs import CONTAINER, JOB_NAME_LABEL, WorkerJob, WorkerPod, delete_job, start_job
from safehold.kube.kinds import JOB, POD
from safehold.kube.retention.catalogue import drop_forgotten
from safehold.kube.retention.governing import read_governed, show_previews
from safehold.kube.status import apply_status
from safehold.kube.target.resolution import read_secrets
from safehold.plan.job import JobFacts
from safehold.plan.names import VERB, children_of, owner_labels
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.maintenance import (
    IDLE_POLL,
    DeleteStale,
    StartMaintenance,
    TakeAnswer,
    Wait,
    maintain_run,
    next_maintenance,
)
from safehold.plan.target.use import AnyTarget, describe
from safehold.report import RetentionLine, RunReport

_STRAY_LINES = 50
"""Lines of others, such as warnings at the interpreter's end, that may follow the worker's last one."""


async def maintain_target(
    cluster: Cluster, target: AnyTarget, *, pod: WorkerPod, rules: EndpointRules, cluster_id: str, now: datetime
) -> datetime:
    """Bring the maintenance of a target one step further; answers when to look again."""
    step = next_maintenance(target, await _jobs(cluster, target, pod.namespace), now)
    match step:
        case Wait(at, status):
            await apply_status(cluster, target, target.status, status)
            return at
        case DeleteStale(jobs):
            for name in jobs:
                await delete_job(cluster, pod.namespace, name)
        case TakeAnswer():
            await _take(cluster, target, step, pod.namespace, now)
        case StartMaintenance(name):
            if not await _start(cluster, target, name, pod, rules, cluster_id, now):
                return now + IDLE_POLL
    return now


async def _jobs(cluster: Cluster, target: AnyTarget, namespace: str) -> list[JobFacts]:
    labels = f"{children_of(target.metadata.uid)},{VERB}=maintain"
    names = [found["metadata"]["name"] for found in await cluster.list(JOB, namespace, labels=labels)]
    observed = [await observe_job(cluster, namespace, name, run_id=name) for name in names]
    return [job for job in observed if job is not None]


async def _start(
    cluster: Cluster,
    target: AnyTarget,
    name: str,
    pod: WorkerPod,
    rules: EndpointRules,
    cluster_id: str,
    now: datetime,
) -> bool:
    """Whether the Job could be started: Secrets and endpoint are checked by the target's own validation."""
    facts = describe(target, pod.namespace, rules)
    if isinstance(facts, Refusal):
        return False
    secrets = await read_secrets(cluster, facts)
    if secrets.refusal is not None:
        return False
    run = maintain_run(name, target, facts, await read_governed(cluster, target, now), cluster_id, now)
    metadata = target.metadata
    labels = owner_labels(target.kind, metadata.uid, name=metadata.name, namespace=metadata.namespace)
    job = WorkerJob(name=name, verb="maintain", labels={**labels, VERB: "maintain"}, run=run, files=secrets.files)
    await start_job(cluster, pod, job)
    return True


async def _take(cluster: Cluster, target: AnyTarget, step: TakeAnswer, namespace: str, now: datetime) -> None:
    """Everything that follows from the answer comes before the status, so that a crash in between repeats it."""
    report = step.report
    if isinstance(report, RunReport):
        lines = await _lines(cluster, namespace, report)
        await show_previews(cluster, target, lines, now)
        await drop_forgotten(cluster, {line.restore_point for line in lines if line.forgotten})
    await apply_status(cluster, target, target.status, step.status)
    failed = isinstance(report, Refusal)
    reason = "MaintenanceFailed" if failed else "Maintained"
    await emit(cluster, target, reason=reason, message=report.message, warning=failed, now=now)
    await delete_job(cluster, namespace, step.job)


async def _lines(cluster: Cluster, namespace: str, report: RunReport) -> Sequence[RetentionLine]:
    """What the worker wrote about single points, as far as its log is still there."""
    expected = report.maintenance.lines if report.maintenance else 0
    pods = await cluster.list(POD, namespace, labels={JOB_NAME_LABEL: report.run_id})
    ended = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    if not expected or not ended:
        return ()
    name = ended[-1]["metadata"]["name"]
    text = await cluster.pod_log(namespace, name, container=CONTAINER, tail_lines=expected + _STRAY_LINES)
    found = [line for line in map(_line, text.splitlines()) if line and line.run_id == report.run_id]
    return found[-expected:]


def _line(text: str) -> RetentionLine | None:
    try:
        return RetentionLine.model_validate_json(text)
    except ValidationError:
        return None
