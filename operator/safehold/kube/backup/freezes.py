"""How long a guest is frozen: a watch of its VMI during the capture. Only precision is lost with it, never safety."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from safehold.errors import ClusterError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VMI
from safehold.kube.virtualmachines import FROZEN, freeze_status
from safehold.plan.backup.facts import FreezeFacts

ESTABLISHED_SECONDS = 3.0
"""How long a capture waits for the watch before it goes on without: an unknown duration is better than none."""
LAST_EVENT_SECONDS = 2.0
"""How long after the snapshot the thaw may take to show up in the VMI's status."""


@dataclass(slots=True)
class _Watch:
    established: asyncio.Event = field(default_factory=asyncio.Event)
    frozen_at: float | None = None
    thawed_at: float | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class FreezeWatches:
    """The watches of all captures under way, by the run's id.

    They are in memory only: after a restart a bound from the snapshot's own times takes their place.
    """

    cluster: Cluster
    clock: Callable[[], float] = time.monotonic
    _watches: dict[str, _Watch] = field(default_factory=dict)

    async def start(self, run_id: str, namespace: str, vm: str, *, seconds: int) -> None:
        """Begin to watch, and return once the guest's state before the freeze was seen."""
        if run_id in self._watches:
            return
        watch = self._watches[run_id] = _Watch()
        watch.task = asyncio.create_task(self._follow(watch, namespace, vm, seconds), name=f"freeze watch {vm}")
        try:
            await asyncio.wait_for(watch.established.wait(), ESTABLISHED_SECONDS)
        except TimeoutError:
            return

    async def result(self, run_id: str) -> FreezeFacts | None:
        """How long the guest was frozen, if both ends were seen. The watch is over after this."""
        watch = self._watches.get(run_id)
        if watch is None or watch.task is None:
            return None
        await asyncio.wait({watch.task}, timeout=LAST_EVENT_SECONDS)
        self.forget(run_id)
        if watch.frozen_at is None or watch.thawed_at is None:
            return None
        return FreezeFacts(round((watch.thawed_at - watch.frozen_at) * 1000), "Observed")

    def forget(self, run_id: str) -> None:
        """End the watch of a run that is over."""
        watch = self._watches.pop(run_id, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()

    async def _follow(self, watch: _Watch, namespace: str, vm: str, seconds: int) -> None:
        try:
            async for event in self.cluster.watch(
                VMI, namespace, fields=f"metadata.name={vm}", timeout_seconds=seconds
            ):
                frozen = freeze_status(event.manifest) == FROZEN
                if not watch.established.is_set():
                    if frozen:  # frozen by somebody else: this freeze has no beginning that could be seen
                        return
                    watch.established.set()
                elif frozen and watch.frozen_at is None:
                    watch.frozen_at = self.clock()
                elif not frozen and watch.frozen_at is not None:
                    watch.thawed_at = self.clock()
                    return
        except ClusterError:
            return
        finally:
            watch.established.set()
