"""The Deployment and ReplicaSet controllers."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Informer, Key
from sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET
from sandbox.cluster.metadata import annotations_of, controller_reference, controller_uid, is_deleting, labels_of
from sandbox.kubelet.deployment_plan import (
    HASH_LABEL,
    REVISION,
    deployment_status,
    new_replica_set,
    plan_scales,
    template_hash,
    wanted_replicas,
)
from sandbox.kubelet.job_plan import has_ended
from sandbox.kubelet.pods import create_pod, delete_pod, owner_keys


class Workloads:
    """Keeps Deployments' ReplicaSets and ReplicaSets' pods."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = Informer(cluster, REPLICA_SET)
        self._pods = Informer(cluster, POD)
        self._deployments = Controller(cluster, "deployments").watch(DEPLOYMENT)
        self._deployments.watch(self._sets, owner_keys("Deployment"))
        self._replica_sets = Controller(cluster, "replicasets").watch(self._sets)
        self._replica_sets.watch(self._pods, owner_keys("ReplicaSet"))

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sets.run())
            tasks.create_task(self._pods.run())
            tasks.create_task(self._deployments.run(self._reconcile_deployment))
            tasks.create_task(self._replica_sets.run(self._reconcile_replica_set))

    async def _reconcile_deployment(self, key: Key) -> None:
        deployment = await self._cluster.get(DEPLOYMENT, key[1], key[0])
        if deployment is None or is_deleting(deployment):
            return
        uid, mark = deployment["metadata"]["uid"], template_hash(deployment)
        owned = [item for item in await self._cluster.list(REPLICA_SET, key[0]) if controller_uid(item) == uid]
        old = [item for item in owned if labels_of(item).get(HASH_LABEL) != mark]
        new = next((item for item in owned if item not in old), None)
        if new is None:
            revision = 1 + max((int(annotations_of(item).get(REVISION, 0)) for item in owned), default=0)
            try:
                new = await self._cluster.create(REPLICA_SET, new_replica_set(deployment, revision))
            except AlreadyExistsError:
                return
        for scale in plan_scales(deployment, new, old):
            await self._scale(deployment, scale.replica_set, scale.replicas)
        status = deployment_status(deployment, new, old, datetime.now(UTC))
        if status != deployment.get("status"):
            await self._cluster.update_status(DEPLOYMENT, {**deployment, "status": status})

    async def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        changed = copy.deepcopy(replica_set)
        changed["spec"]["replicas"] = replicas
        await self._cluster.update(REPLICA_SET, changed)
        direction = "up" if replicas > wanted_replicas(replica_set) else "down"
        message = f"Scaled {direction} replica set {replica_set['metadata']['name']} to {replicas}"
        await self._cluster.event(deployment, "Normal", "ScalingReplicaSet", message, "deployment-controller")

    async def _reconcile_replica_set(self, key: Key) -> None:
        replica_set = await self._cluster.get(REPLICA_SET, key[1], key[0])
        if replica_set is None or is_deleting(replica_set):
            return
        uid = replica_set["metadata"]["uid"]
        pods = [pod for pod in await self._cluster.list(POD, key[0]) if controller_uid(pod) == uid]
        alive = [pod for pod in pods if not is_deleting(pod) and not has_ended(pod)]
        surplus = len(alive) - wanted_replicas(replica_set)
        for pod in alive[: max(surplus, 0)]:
            await delete_pod(self._cluster, replica_set, pod, "replicaset-controller")
        for _ in range(-surplus):
            await create_pod(self._cluster, replica_set, _pod_of(replica_set), "replicaset-controller")
        ready = sum(_is_ready(pod) for pod in alive)
        status = {
            "observedGeneration": replica_set["metadata"].get("generation", 1),
            # Pods that are still ending count, so that Recreate waits for them.
            "replicas": sum(not has_ended(pod) for pod in pods) - min(surplus, 0),
            "fullyLabeledReplicas": len(alive),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if status != replica_set.get("status"):
            await self._cluster.update_status(REPLICA_SET, {**replica_set, "status": status})


def _pod_of(replica_set: Object) -> Object:
    template = copy.deepcopy(replica_set["spec"]["template"])
    return {
        "metadata": {
            **(template.get("metadata") or {}),
            "generateName": f"{replica_set['metadata']['name']}-",
            "namespace": replica_set["metadata"]["namespace"],
            "ownerReferences": [controller_reference(replica_set)],
        },
        "spec": template["spec"],
    }


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
