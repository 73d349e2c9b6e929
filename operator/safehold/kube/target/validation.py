"""Carry out what `plan.target.validation` decides about a target."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from safehold.api import BackupTarget, ClusterBackupTarget
from safehold.kube.client import Cluster, Manifest
from safehold.kube.events import emit
from safehold.kube.job_facts import observe_job
from safehold.kube.jobs import WorkerJob, WorkerPod, delete_job, start_job
from safehold.kube.kinds import JOB
from safehold.kube.status import OWN_KINDS, apply_status
from safehold.kube.target.resolution import RepositorySecrets, read_secrets
from safehold.plan.conditions import READY, is_true
from safehold.plan.names import OWNER_UID, VERB, children_of, owner_labels
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import AnyTarget, describe
from safehold.plan.target.validation import (
    DeleteJobs,
    LookAgain,
    ObservedTarget,
    StartValidation,
    is_transition,
    next_validation,
)

CHECK_DEADLINE_SECONDS = 120
"""A check moves a few kilobytes; an endpoint that swallows packets is given up after this."""


async def get_target(cluster: Cluster, kind: str, name: str, namespace: str | None) -> AnyTarget | None:
    """The target of that kind, for its own reconcile."""
    found = await cluster.get(OWN_KINDS[kind], name, namespace)
    if found is None:
        return None
    model = BackupTarget if kind == "BackupTarget" else ClusterBackupTarget
    return model.model_validate(found)


async def validate_target(
    cluster: Cluster, target: AnyTarget, *, pod: WorkerPod, rules: EndpointRules, now: datetime
) -> datetime:
    """Bring the check of a target one step further; answers when to look again."""
    facts = describe(target, pod.namespace, rules)
    secrets = RepositorySecrets() if isinstance(facts, Refusal) else await read_secrets(cluster, facts)
    jobs = await cluster.list(JOB, pod.namespace, labels=f"{children_of(target.metadata.uid)},!{VERB}")
    observed = [await observe_job(cluster, pod.namespace, name, run_id=name) for name in _names(jobs)]
    seen = ObservedTarget(
        facts=facts,
        secrets_version=secrets.fingerprint,
        secrets=secrets.refusal,
        jobs=[job for job in observed if job is not None],
    )
    step, status = next_validation(target, seen, now)
    if await apply_status(cluster, target, target.status, status) and is_transition(target.status, status):
        failed = not is_true(status.conditions, READY)
        message = status.conditions[0].message
        await emit(cluster, target, reason=status.phase or "", message=message, warning=failed, now=now)
    match step:
        case LookAgain(at):
            return at
        case DeleteJobs(names):
            for name in names:
                await delete_job(cluster, pod.namespace, name)
        case StartValidation():
            await _start(cluster, target, secrets, step, pod)
    return now


async def drop_validations(
    cluster: Cluster, kind: str, name: str, namespace: str | None, operator_namespace: str
) -> None:
    """Delete the Jobs of a target that is gone; their answers are nobody's."""
    labels = owner_labels(kind, "", name=name, namespace=namespace)
    del labels[OWNER_UID]
    for job in _names(await cluster.list(JOB, operator_namespace, labels=labels)):
        await delete_job(cluster, operator_namespace, job)


def _names(manifests: Iterable[Manifest]) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in manifests]


async def _start(
    cluster: Cluster,
    target: AnyTarget,
    secrets: RepositorySecrets,
    step: StartValidation,
    pod: WorkerPod,
) -> None:
    metadata = target.metadata
    labels = owner_labels(target.kind, metadata.uid, name=metadata.name, namespace=metadata.namespace)
    job = WorkerJob(name=step.job, verb="target", labels=labels, run=step.run, files=secrets.files)
    deadline = min(CHECK_DEADLINE_SECONDS, pod.deadline_seconds)
    await start_job(cluster, replace(pod, deadline_seconds=deadline, backoff_limit=0), job)
