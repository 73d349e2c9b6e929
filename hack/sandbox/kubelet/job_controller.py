"""The Job controller and the TTL controller: carry out what `job_plan` decides."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Informer, Key
from sandbox.cluster.kinds import JOB, POD
from sandbox.cluster.metadata import controller_reference, controller_uid, finalizers_of, is_deleting, with_finalizers
from sandbox.kubelet.job_plan import TRACKING, plan_job
from sandbox.kubelet.pods import create_pod, delete_pod, owner_keys

_COMPONENT = "job-controller"


class JobController:
    """Runs Jobs. `backoff_seconds` follows the first failed pod and doubles with each further one."""

    def __init__(self, cluster: Cluster, backoff_seconds: float = 10.0) -> None:
        self._cluster = cluster
        self._backoff_seconds = backoff_seconds
        self._jobs = Informer(cluster, JOB)
        self._pods = Informer(cluster, POD)
        self._controller = Controller(cluster, "jobs").watch(self._jobs).watch(self._pods, owner_keys("Job"))

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._jobs.run())
            tasks.create_task(self._pods.run())
            tasks.create_task(self._controller.run(self._reconcile))

    async def _reconcile(self, key: Key) -> float | None:
        job = await self._cluster.get(JOB, key[1], key[0])
        pods = await self._pods_of(key, job)
        if job is None or is_deleting(job):
            for pod in pods:
                await self._release(pod)
            return None
        plan = plan_job(job, pods, now=datetime.now(UTC), backoff_seconds=self._backoff_seconds)
        if plan.delete_job:
            await self._cluster.delete(JOB, key[1], key[0], uid=job["metadata"]["uid"], propagation="Background")
            return None
        if plan.status != (job.get("status") or {}):
            job = await self._cluster.update_status(JOB, {**job, "status": plan.status})
        for notice in plan.notices:
            await self._cluster.event(job, notice.event_type, notice.reason, notice.message, _COMPONENT)
        for pod in plan.release:
            await self._release(pod)
        for pod in plan.delete:
            await delete_pod(self._cluster, job, pod, _COMPONENT)
        for _ in range(plan.create):
            await create_pod(self._cluster, job, _pod_of(job), _COMPONENT)
        return plan.requeue_seconds

    async def _pods_of(self, key: Key, job: Object | None) -> list[Object]:
        """The Job's pods as they are now: a pod that is not yet in the cache must not be made twice."""
        uid = job["metadata"]["uid"] if job else None
        pods = await self._cluster.list(POD, key[0], labels=f"batch.kubernetes.io/job-name={key[1]}")
        return [pod for pod in pods if uid is None or controller_uid(pod) == uid]

    async def _release(self, pod: Object) -> None:
        if TRACKING in finalizers_of(pod):
            await self._cluster.update(POD, with_finalizers(pod, remove=[TRACKING]))


def _pod_of(job: Object) -> Object:
    """A pod from the Job's template, with the labels, owner and finalizer that Jobs give."""
    template = copy.deepcopy(job["spec"]["template"])
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    metadata = template.get("metadata") or {}
    labels = {
        **(metadata.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    return {
        "metadata": {
            **metadata,
            "generateName": f"{name}-",
            "namespace": job["metadata"]["namespace"],
            "labels": labels,
            "finalizers": [*metadata.get("finalizers", []), TRACKING],
            "ownerReferences": [controller_reference(job)],
        },
        "spec": template["spec"],
    }
