"""One container from its first start to its last end: configuration, probes, restarts with back-off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.kubelet.container import Ending, RunningContainer, StartError, finish_container, start_container
from sandbox.kubelet.container_spec import ContainerSpecs, ImageError
from sandbox.kubelet.environment import ConfigurationError
from sandbox.kubelet.images import Image
from sandbox.kubelet.mounts import PodVolume
from sandbox.kubelet.pod_status import ContainerState, must_restart, terminated
from sandbox.kubelet.probes import Probe, follow, wait_for_failure, wait_for_start

_MAX_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What all pods of the node share; `storage` is the folder of the CSI driver's volumes."""

    name: str
    address: str
    folder: Path
    storage: Path
    images: tuple[Image, ...]
    backoff_seconds: float = 10.0
    """Before the second restart of a container, and twice as long before each further one."""
    retry_seconds: float = 1.0
    """Between attempts to find what a pod names."""


@dataclass(slots=True)
class PodContext:
    """What a container shares with its pod."""

    cluster: Cluster
    settings: NodeSettings
    pod: Object
    folder: Path
    publish: Callable[[], Awaitable[None]]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    grace_seconds: float = 30.0

    async def event(self, event_type: str, reason: str, message: str) -> None:
        """Records an event about the pod."""
        await self.cluster.event(self.pod, event_type, reason, message, "kubelet")

    async def pause(self, seconds: float) -> None:
        """Waits, but not longer than the pod is to live."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)


class ContainerLife:
    """Runs one container of a pod; `state` shows where it stands."""

    def __init__(self, context: PodContext, container: Object, state: ContainerState, *, init: bool) -> None:
        policy = str(context.pod["spec"].get("restartPolicy") or "Always")
        self.state = state
        self.running: RunningContainer | None = None
        self._context = context
        self._container = container
        self._policy = "OnFailure" if init and policy == "Always" else policy
        self._specs = ContainerSpecs(context.cluster, context.pod, context.settings.images)

    def log_file(self, *, previous: bool = False) -> Path:
        """The log of the present (or of the previous) start."""
        return self._folder / f"{self.state.restarts - (1 if previous else 0)}.log"

    async def run(self, volumes: dict[str, PodVolume]) -> None:
        """Starts the container as often as its policy says; returns when it is done or the pod stops."""
        if self.state.exit_code is not None and not self.state.done:
            await self._restart_or_end()
        while not self.state.done and not self._context.stopping.is_set():
            if await self._run_once(volumes):
                await self._restart_or_end()

    @property
    def _folder(self) -> Path:
        return self._context.folder / self.state.name

    async def _run_once(self, volumes: dict[str, PodVolume]) -> bool:
        """True if the container ran, or failed to start; False if it is to be tried again."""
        message_file = self._folder / "termination-log"
        self._folder.mkdir(parents=True, exist_ok=True)
        message_file.write_bytes(b"")
        message_file.chmod(0o666)
        try:
            spec = await self._specs.resolve(self._container, volumes, message_file)
            probes = self._probes()
        except ImageError as error:
            await self._wait("ErrImagePull", str(error))
            return False
        except (ConfigurationError, ValueError) as error:
            await self._wait("CreateContainerConfigError", str(error))
            return False
        try:
            self.running = await start_container(spec, self._folder, self.log_file())
        except StartError as error:
            await self._context.event("Warning", "Failed", f"Error: {error}")
            self._end(Ending(128, "StartError", str(error)), None)
            return True
        started = timestamp()
        self.state.state = {"running": {"startedAt": started}}
        self.state.started = "startupProbe" not in probes
        self.state.ready = self.state.started and "readinessProbe" not in probes
        supervisor = asyncio.create_task(self._supervise(self.running, probes))
        fall_back = self._container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        finishing = asyncio.create_task(
            finish_container(self.running, spec.memory_limit_bytes, message_file, fall_back_to_log=fall_back)
        )
        try:
            await self._context.event("Normal", "Started", f"Container started: {self.state.name}")
            await self._context.publish()
            ending = await asyncio.shield(finishing)
        except asyncio.CancelledError:
            self.running.kill()
            await finishing
            raise
        finally:
            supervisor.cancel()
        self._end(ending, started)
        return True

    def _end(self, ending: Ending, started: str | None) -> None:
        self.running = None
        self.state.ready = self.state.started = False
        self.state.state = terminated(ending.exit_code, ending.reason, ending.message, started, datetime.now(UTC))

    async def _restart_or_end(self) -> None:
        code = self.state.exit_code
        if code is None or self._context.stopping.is_set() or not must_restart(self._policy, code):
            self.state.done = True
            await self._context.publish()
            return
        self.state.last_state = self.state.state
        self.state.restarts += 1
        delay = self._backoff_seconds()
        message = f"back-off {delay:g}s restarting failed container={self.state.name}"
        self.state.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        await self._context.publish()
        await self._context.pause(delay)

    def _backoff_seconds(self) -> float:
        """The first restart comes at once, as with the kubelet."""
        if self.state.restarts <= 1:
            return 0.0
        doubled = self._context.settings.backoff_seconds * 2.0 ** min(self.state.restarts - 2, 10)
        return min(doubled, _MAX_BACKOFF_SECONDS)

    async def _wait(self, reason: str, message: str) -> None:
        if (self.state.state.get("waiting") or {}).get("message") != message:
            self.state.state = {"waiting": {"reason": reason, "message": message}}
            await self._context.event("Warning", "Failed", f"Error: {message}")
            await self._context.publish()
        await self._context.pause(self._context.settings.retry_seconds)

    def _probes(self) -> dict[str, Probe]:
        address = self._context.settings.address
        names = ("startupProbe", "readinessProbe", "livenessProbe")
        return {
            name: Probe(self._container[name], self._container, address) for name in names if name in self._container
        }

    async def _supervise(self, running: RunningContainer, probes: dict[str, Probe]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stop_with_pod(running))
            if "startupProbe" in probes and not await wait_for_start(probes["startupProbe"]):
                tasks.create_task(self._kill_unhealthy(running, "startup"))
                return
            self.state.started = True
            if "readinessProbe" in probes:
                tasks.create_task(follow(probes["readinessProbe"], self._set_ready))
            elif not self.state.ready:
                await self._set_ready(True)
            if "livenessProbe" in probes:
                await wait_for_failure(probes["livenessProbe"])
                await self._kill_unhealthy(running, "liveness")

    async def _set_ready(self, ready: bool) -> None:
        self.state.ready = ready
        await self._context.publish()

    async def _kill_unhealthy(self, running: RunningContainer, probe: str) -> None:
        message = f"Container {self.state.name} failed {probe} probe, will be restarted"
        await self._context.event("Warning", "Unhealthy", message)
        await self._stop(running)

    async def _stop_with_pod(self, running: RunningContainer) -> None:
        await self._context.stopping.wait()
        await self._stop(running)

    async def _stop(self, running: RunningContainer) -> None:
        running.terminate()
        await asyncio.sleep(self._context.grace_seconds)
        running.kill()
