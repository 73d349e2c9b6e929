"""The kubelet: one worker per pod of its node."""

from __future__ import annotations

import asyncio
import logging
import shutil

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Informer, Key
from sandbox.cluster.kinds import POD
from sandbox.cluster.metadata import is_deleting
from sandbox.kubelet.container_life import ContainerLife, NodeSettings
from sandbox.kubelet.pod_worker import PodWorker

_log = logging.getLogger(__name__)


class Kubelet:
    """Starts a worker for each new pod, tells it to stop when the pod is deleted, and ends the deletion."""

    def __init__(self, cluster: Cluster, settings: NodeSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._pods = Informer(cluster, POD, fields=f"spec.nodeName={settings.name}")
        self._controller = Controller(cluster, "kubelet", workers=4).watch(self._pods)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def find(self, namespace: str, pod: str, container: str) -> ContainerLife | None:
        """The container, of the newest pod of that name."""
        for worker in reversed(self._workers.values()):
            metadata = worker.pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, pod):
                return worker.find(container)
        return None

    async def run(self) -> None:
        """Runs until cancelled; then all containers are killed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pods.run())
                tasks.create_task(self._controller.run(self._reconcile))
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _reconcile(self, key: Key) -> None:
        pod = self._pods.get(key[1], key[0])
        for uid in self._uids(key):
            if pod is None or pod["metadata"]["uid"] != uid:
                await self._forget(uid)
        if pod is None:
            return
        uid = pod["metadata"]["uid"]
        task = self._tasks.get(uid)
        if is_deleting(pod):
            if task and not task.done():
                self._workers[uid].stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
            elif pod["metadata"].get("deletionGracePeriodSeconds") != 0:
                await self._cluster.delete(POD, key[1], key[0], uid=uid, grace_seconds=0)
        elif task is None and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            self._start(key, pod)

    def _start(self, key: Key, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        self._workers[uid] = PodWorker(self._cluster, self._settings, pod)
        task = asyncio.create_task(self._workers[uid].run())
        self._tasks[uid] = task

        def ended(_: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                _log.error("pod %s/%s was given up", *key, exc_info=error)
            self._controller.queue.add(key)

        task.add_done_callback(ended)

    def _uids(self, key: Key) -> list[str]:
        return [
            uid
            for uid, worker in self._workers.items()
            if (worker.pod["metadata"]["namespace"], worker.pod["metadata"]["name"]) == key
        ]

    async def _forget(self, uid: str) -> None:
        """Ends what is left of a pod that does not exist any more, its logs included."""
        worker, task = self._workers[uid], self._tasks[uid]
        worker.stop(0)
        await asyncio.wait({task})
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        await asyncio.to_thread(shutil.rmtree, worker.folder, ignore_errors=True)
