"""VirtualMachineBackupTrackers after a guest has started anew: whether their checkpoint is still known.

KubeVirt redefines checkpoints from the overlays that outlive the guest. The sandbox's bitmaps do not: every restart
ends as KubeVirt's documentation says of bitmaps that are missing on all disks. Not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import VM_BACKUP_TRACKER
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.backups.jobs import BackupJobs
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.machines.block_tracking import ENABLED, tracking_state
from sandbox.kubevirt.names import BACKUP_COMPONENT


class TrackerController:
    """Clears the checkpoint of a tracker whose guest does not know it; the next backup is full then."""

    def __init__(self, cluster: Cluster, caches: Caches, jobs: BackupJobs) -> None:
        self._cluster = cluster
        self._caches = caches
        self._jobs = jobs

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "trackers", max_backoff_seconds=5.0)
        controller.watch(self._caches.trackers)
        controller.watch(self._caches.instances, self._trackers_of_instance)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a tracker; nothing is said about it while its guest does not run."""
        namespace, name = key
        tracker = await self._cluster.get(VM_BACKUP_TRACKER, name, namespace)
        latest = ((tracker or {}).get("status") or {}).get("latestCheckpoint")
        if tracker is None or not latest:
            return None
        machine = (namespace, tracker["spec"]["source"]["name"])
        if tracking_state(self._caches.instances.get(machine[1], namespace)) != ENABLED:
            return None
        try:
            known = await self._jobs.has_checkpoint(machine, latest["name"])
        except GuestError:
            # It has ended; its successor brings the tracker here again.
            return None
        if not known:
            await self._redefine(tracker)
        return None

    async def _redefine(self, tracker: Object) -> None:
        required = {"checkpointRedefinitionRequired": True}
        status = {**tracker["status"], **required}
        tracker = await self._cluster.update_status(VM_BACKUP_TRACKER, {**tracker, "status": status})
        message = f"Checkpoint {tracker['status']['latestCheckpoint']['name']} is not known to the guest any more"
        await self._cluster.event(tracker, "Warning", "CheckpointRedefinitionFailed", message, BACKUP_COMPONENT)
        await self._cluster.update_status(VM_BACKUP_TRACKER, {**tracker, "status": {}})

    def _trackers_of_instance(self, vmi: Object) -> Iterable[Key]:
        namespace, name = key_of(vmi)
        return [
            key_of(tracker)
            for tracker in self._caches.trackers.list(namespace)
            if tracker["spec"]["source"]["name"] == name
        ]
