"""The life of one pod on this node, from its volumes to its end."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import aiohttp

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError, NotFoundError
from sandbox.cluster.kinds import POD
from sandbox.kubelet.container_life import ContainerLife, NodeSettings, PodContext
from sandbox.kubelet.environment import ConfigurationError
from sandbox.kubelet.mounts import PodVolume
from sandbox.kubelet.pod_status import ContainerState, must_restart, status_of, terminated
from sandbox.kubelet.volumes import VolumeSetup

_log = logging.getLogger(__name__)
_REFRESH_SECONDS = 60.0
_PUBLISH_RETRY_SECONDS = 0.5
_LOST = "The container could not be located when the pod was terminated"


class PodWorker:
    """Runs one pod. `run` returns when the pod has ended, by itself or because of `stop`."""

    def __init__(self, cluster: Cluster, settings: NodeSettings, pod: Object) -> None:
        folder = settings.folder / "pods" / pod["metadata"]["uid"]
        self.pod = pod
        self.folder = folder
        self._context = PodContext(cluster, settings, pod, folder, self._publish)
        self._context.grace_seconds = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
        self._volumes = VolumeSetup(cluster, pod, folder / "volumes", settings.storage)
        self._init = [self._life(container, init=True) for container in pod["spec"].get("initContainers") or []]
        self._main = [self._life(container, init=False) for container in pod["spec"]["containers"]]
        self._publishing = asyncio.Lock()
        self._given_back = False

    def stop(self, grace_seconds: float) -> None:
        """Ends the pod's containers: SIGTERM, and SIGKILL after the grace period; may be called again to hurry."""
        self._context.grace_seconds = grace_seconds
        if grace_seconds == 0:
            for life in self._lives():
                if life.running:
                    life.running.kill()
        self._context.stopping.set()

    def find(self, container: str) -> ContainerLife | None:
        """The container of that name."""
        return next((life for life in self._lives() if life.state.name == container), None)

    async def run(self) -> None:
        """Runs the pod to its end. Cancelled, it kills the containers and gives the volumes back."""
        try:
            volumes = await self._set_up_volumes()
            if volumes is not None:
                async with asyncio.TaskGroup() as tasks:
                    refreshing = tasks.create_task(self._keep_fresh())
                    await self._run_containers(volumes)
                    refreshing.cancel()
        finally:
            await self._give_back()
        for life in self._lives():
            if not life.state.done and self._context.stopping.is_set():
                life.state.state = terminated(137, "ContainerStatusUnknown", _LOST, None, datetime.now(UTC))
                life.state.done = True
        await self._publish()

    async def _give_back(self) -> None:
        """Tears the volumes down, to the end also when this is cancelled in the midst of it."""
        closing = asyncio.create_task(self._volumes.tear_down())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise
        self._given_back = True

    async def _run_containers(self, volumes: dict[str, PodVolume]) -> None:
        for life in self._init:
            await life.run(volumes)
            if life.state.exit_code != 0:
                # The pod has failed: the others will never run.
                for other in self._main:
                    other.state.done = True
                return
        async with asyncio.TaskGroup() as tasks:
            for life in self._main:
                tasks.create_task(life.run(volumes))

    def _lives(self) -> list[ContainerLife]:
        return [*self._init, *self._main]

    def _life(self, container: Object, *, init: bool) -> ContainerLife:
        return ContainerLife(self._context, container, _known_state(self.pod, container, init=init), init=init)

    async def _set_up_volumes(self) -> dict[str, PodVolume] | None:
        """The pod's volumes once all are there; None if the pod is stopped before."""
        last = ""
        await self._publish()
        while not self._context.stopping.is_set():
            try:
                return await self._volumes.set_up()
            except (ConfigurationError, OSError) as error:
                if str(error) != last:
                    last = str(error)
                    await self._context.event("Warning", "FailedMount", last)
            await self._context.pause(self._context.settings.retry_seconds)
        return None

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self._volumes.refresh()
            except (ConfigurationError, ApiError, aiohttp.ClientError) as error:
                _log.warning("pod %s: volumes keep their former contents: %s", self.pod["metadata"]["name"], error)

    async def _publish(self) -> None:
        """Writes the status, until it is written or the pod is gone. The end is told when the volumes are back."""
        if not self._given_back and all(life.state.done for life in self._main):
            return
        metadata, context = self.pod["metadata"], self._context
        async with self._publishing:
            while True:
                try:
                    pod = await context.cluster.get(POD, metadata["name"], metadata["namespace"])
                    if pod is None or pod["metadata"]["uid"] != metadata["uid"]:
                        return
                    states = [life.state for life in self._init], [life.state for life in self._main]
                    status = status_of(pod, *states, address=context.settings.address, now=datetime.now(UTC))
                    if status != pod.get("status"):
                        await context.cluster.update_status(POD, {**pod, "status": status})
                except NotFoundError:
                    return
                except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                    _log.debug("status of pod %s: %s", metadata["name"], error)
                    await asyncio.sleep(_PUBLISH_RETRY_SECONDS)
                else:
                    return


def _known_state(pod: Object, container: Object, *, init: bool) -> ContainerState:
    """A fresh state, or what the pod's status says; what ran under a former kubelet was lost with it."""
    state = ContainerState(container["name"], container.get("image", ""))
    status = pod.get("status") or {}
    for known in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if known["name"] != state.name:
            continue
        state.restarts, state.last_state = known.get("restartCount", 0), known.get("lastState") or {}
        if "running" in (known.get("state") or {}):
            since = known["state"]["running"].get("startedAt")
            state.state = terminated(137, "ContainerStatusUnknown", _LOST, since, datetime.now(UTC))
        elif "terminated" in (known.get("state") or {}):
            state.state = known["state"]
    if state.exit_code is not None:
        policy = str(pod["spec"].get("restartPolicy") or "Always")
        state.done = not must_restart("OnFailure" if init and policy == "Always" else policy, state.exit_code)
    return state
