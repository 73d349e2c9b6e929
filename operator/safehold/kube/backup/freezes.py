"""How long a guest is frozen, and whether until the last cut: a watch of its VMI during the capture.

KubeVirt's indications do not tell of a thaw that came too early: by a person, by another backup's hook, or because the
guest was restarted. Without the watch, such as after a restart of the controller, nobody can.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from safehold.errors import ClusterError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_SNAPSHOT, VM_SNAPSHOT_CONTENT, VMI, VOLUME_SNAPSHOT
from safehold.kube.virtualmachines import FROZEN, freeze_status
from safehold.plan.backup.facts import FreezeFacts

ESTABLISHED_SECONDS = 3.0
"""How long a capture waits for the watch before it goes on without: an unknown duration is better than none."""
LAST_EVENT_SECONDS = 2.0
"""How long after the snapshot the thaw may take to show up in the VMI's status."""


@dataclass(slots=True)
class _Watch:
    namespace: str
    vm: str
    snapshot: str | None
    established: asyncio.Event = field(default_factory=asyncio.Event)
    frozen_at: float | None = None
    thawed_at: float | None = None
    held: bool = True
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class FreezeWatches:
    """The watches of all captures under way, by the run's id.

    They are in memory only: after a restart a bound from the snapshot's own times takes their place.
    """

    cluster: Cluster
    clock: Callable[[], float] = time.monotonic
    _watches: dict[str, _Watch] = field(default_factory=dict)

    async def start(self, run_id: str, namespace: str, vm: str, *, seconds: int, snapshot: str | None = None) -> None:
        """Begin to watch, and return once the guest's state before the freeze was seen.

        `snapshot` is the VirtualMachineSnapshot for which it is frozen: a thaw before its last cut does not count as
        its end.
        """
        if run_id in self._watches:
            return
        watch = self._watches[run_id] = _Watch(namespace=namespace, vm=vm, snapshot=snapshot)
        watch.task = asyncio.create_task(self._follow(watch, seconds), name=f"freeze watch {vm}")
        try:
            await asyncio.wait_for(watch.established.wait(), ESTABLISHED_SECONDS)
        except TimeoutError:
            return

    async def result(self, run_id: str, *, froze: bool = True) -> FreezeFacts | None:
        """How long the guest was frozen the last time, if both ends were seen. The watch is over after this.

        `froze`: whether somebody says that it was frozen; if not, no late news of that is waited for. The answer stays
        until the run is forgotten: hooks may be run between the first look at it and the judgement.
        """
        watch = self._watches.get(run_id)
        if watch is None or watch.task is None:
            return None
        if froze or watch.frozen_at is not None:
            await asyncio.wait({watch.task}, timeout=LAST_EVENT_SECONDS)
        watch.task.cancel()
        if watch.frozen_at is None or watch.thawed_at is None:
            return None
        return FreezeFacts(round((watch.thawed_at - watch.frozen_at) * 1000), "Observed", held=watch.held)

    def forget(self, run_id: str) -> None:
        """End the watch of a run that is over."""
        watch = self._watches.pop(run_id, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()

    async def _follow(self, watch: _Watch, seconds: int) -> None:
        fields = f"metadata.name={watch.vm}"
        try:
            async for event in self.cluster.watch(VMI, watch.namespace, fields=fields, timeout_seconds=seconds):
                # An instance that goes is shown as it was last.
                frozen = event.type != "DELETED" and freeze_status(event.manifest) == FROZEN
                if not watch.established.is_set():
                    if frozen:  # frozen by somebody else: this freeze has no beginning that could be seen
                        return
                    watch.established.set()
                elif await self._has_ended(watch, frozen=frozen):
                    return
        except ClusterError:
            return
        finally:
            watch.established.set()

    async def _has_ended(self, watch: _Watch, *, frozen: bool) -> bool:
        """Take one look at the guest into account. After a thaw that came too early KubeVirt may freeze it again."""
        if frozen and (watch.frozen_at is None or watch.thawed_at is not None):
            watch.frozen_at, watch.thawed_at, watch.held = self.clock(), None, True
        elif not frozen and watch.frozen_at is not None and watch.thawed_at is None:
            watch.thawed_at = self.clock()
            watch.held = watch.snapshot is None or await self._is_cut(watch.namespace, watch.snapshot)
            return watch.held
        return False

    async def _is_cut(self, namespace: str, snapshot: str) -> bool:
        """Whether the driver has cut every volume by now. KubeVirt thaws after it has read that it has."""
        found = await self.cluster.get(VM_SNAPSHOT, snapshot, namespace)
        if found is None:
            return False
        # The snapshot's status may name its content later than this.
        name = f"vmsnapshot-content-{found['metadata']['uid']}"
        content = await self.cluster.get(VM_SNAPSHOT_CONTENT, name, namespace)
        if content is None:
            return False
        for volume in content["spec"].get("volumeBackups") or []:
            cut = await self.cluster.get(VOLUME_SNAPSHOT, volume["volumeSnapshotName"], namespace)
            if cut is None or "creationTime" not in (cut.get("status") or {}):
                return False
        return True
