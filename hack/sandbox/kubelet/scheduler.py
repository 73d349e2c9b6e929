"""The scheduler of a cluster with one node: checks claims and node selector, picks the node, binds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Informer, Key
from sandbox.cluster.kinds import NODE, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS
from sandbox.cluster.metadata import annotations_of, is_deleting, labels_of, with_annotations, with_status
from sandbox.csi.binding import waits_for_consumer
from sandbox.csi.names import SELECTED_NODE
from sandbox.csi.protection import claims_of
from sandbox.kubelet.pod_status import merged_conditions

_COMPONENT = "default-scheduler"
_RECHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a pod cannot be bound (empty: it can), and the claims that wait for a node to be chosen."""

    obstacle: str = ""
    claims_to_place: tuple[Object, ...] = field(default=())


def judge(
    pod: Object, node: Object, claim: Callable[[Key], Object | None], storage_class: Callable[[str], Object | None]
) -> Verdict:
    """Whether the pod fits the node now."""
    wanted = (pod["spec"].get("nodeSelector") or {}).items()
    if not wanted <= labels_of(node).items():
        return Verdict("1 node(s) didn't match Pod's node affinity/selector")
    waiting: list[Object] = []
    for key in claims_of(pod):
        found = claim(key)
        if found is None:
            return Verdict(f'persistentvolumeclaim "{key[1]}" not found')
        if is_deleting(found):
            return Verdict(f'persistentvolumeclaim "{key[1]}" is being deleted')
        phase = (found.get("status") or {}).get("phase", "Pending")
        if phase == "Lost":
            return Verdict(f'persistentvolumeclaim "{key[1]}" bound to non-existent persistentvolume')
        if phase != "Bound":
            if not waits_for_consumer(storage_class(found["spec"].get("storageClassName") or "")):
                return Verdict("pod has unbound immediate PersistentVolumeClaims")
            waiting.append(found)
    return Verdict(claims_to_place=tuple(waiting))


class Scheduler:
    """Binds pods to the one node."""

    def __init__(self, cluster: Cluster, node_name: str) -> None:
        self._cluster = cluster
        self._node_name = node_name
        self._pods = Informer(cluster, POD)
        self._claims = Informer(cluster, PERSISTENT_VOLUME_CLAIM)
        self._classes = Informer(cluster, STORAGE_CLASS)
        self._nodes = Informer(cluster, NODE)
        self._controller = Controller(cluster, "scheduler").watch(self._pods)
        self._controller.watch(self._claims, self._pods_of_claim)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in (self._pods, self._claims, self._classes, self._nodes):
                tasks.create_task(informer.run())
            for informer in (self._claims, self._classes, self._nodes):
                await informer.synced.wait()
            tasks.create_task(self._controller.run(self._reconcile))

    def _pods_of_claim(self, claim: Object) -> list[Key]:
        key = (claim["metadata"]["namespace"], claim["metadata"]["name"])
        pods = [pod for pod in self._pods.list(key[0]) if not pod["spec"].get("nodeName") and key in claims_of(pod)]
        return [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods]

    async def _reconcile(self, key: Key) -> float | None:
        pod, node = self._pods.get(key[1], key[0]), self._nodes.get(self._node_name)
        if pod is None or pod["spec"].get("nodeName") or is_deleting(pod):
            return None
        if pod["spec"].get("schedulingGates") or pod["spec"].get("schedulerName", _COMPONENT) != _COMPONENT:
            return None
        if node is None:
            return _RECHECK_SECONDS
        verdict = judge(pod, node, lambda claim: self._claims.get(claim[1], claim[0]), self._classes.get)
        if verdict.obstacle:
            await self._report_unschedulable(pod, verdict.obstacle)
            return _RECHECK_SECONDS
        for claim in verdict.claims_to_place:
            if annotations_of(claim).get(SELECTED_NODE) != self._node_name:
                placed = with_annotations(claim, {SELECTED_NODE: self._node_name})
                await self._cluster.update(PERSISTENT_VOLUME_CLAIM, placed)
        if not verdict.claims_to_place:
            await self._bind(key, pod)
        return None

    async def _bind(self, key: Key, pod: Object) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": key[1], "namespace": key[0], "uid": pod["metadata"]["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._node_name},
        }
        await self._cluster.request("POST", POD.path(key[0], key[1], "binding"), body=binding)
        message = f"Successfully assigned {key[0]}/{key[1]} to {self._node_name}"
        await self._cluster.event(pod, "Normal", "Scheduled", message, _COMPONENT)

    async def _report_unschedulable(self, pod: Object, obstacle: str) -> None:
        message = f"0/1 nodes are available: {obstacle}."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        before = (pod.get("status") or {}).get("conditions") or []
        conditions = merged_conditions(before, [condition], datetime.now(UTC))
        if conditions != before:
            await self._cluster.update_status(POD, with_status(pod, {"phase": "Pending", "conditions": conditions}))
            await self._cluster.event(pod, "Warning", "FailedScheduling", message, _COMPONENT)
