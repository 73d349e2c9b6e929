"""VirtualMachineInstanceMigrations: what a cluster shows of one. The guest stays in its process, on this one machine.

What is played are the objects: a second virt-launcher pod on the other node, `status.migrationState` of the instance,
and then its new node. No recording exists; phases and fields are those of KubeVirt's source. Of an instance that cannot
be migrated KubeVirt refuses the migration when it is created; here it fails. The annotation HELD keeps one under way.
"""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import POD, VIRTUAL_MACHINE_INSTANCE, VM_MIGRATION
from sandbox.cluster.metadata import annotations_of, labels_of
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.conditions import is_true
from sandbox.kubevirt.machines.children import launcher_of
from sandbox.kubevirt.machines.lifecycle import phase_of
from sandbox.kubevirt.names import CREATED_BY, HELD, MIGRATION_JOB, NODE, OTHER_NODE

_PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running")
_ENDED = ("Succeeded", "Failed")


class MigrationController:
    """Leads every migration through its phases, one at a look."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "migrations", workers=1, max_backoff_seconds=5.0)
        controller.watch(self._caches.migrations)
        controller.watch(self._caches.instances, self._migrations_of)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a migration."""
        namespace, name = key
        migration = await self._cluster.get(VM_MIGRATION, name, namespace)
        if migration is None or phase_of(migration) in _ENDED:
            return None
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, migration["spec"]["vmiName"], namespace)
        if vmi is None or phase_of(vmi) != "Running" or not is_true(vmi, "LiveMigratable"):
            await self._show(migration, "Failed")
            return None
        phase = phase_of(migration)
        if phase == "Running":
            return await self._complete(migration, vmi)
        following = _PHASES[_PHASES.index(phase) + 1] if phase else _PHASES[0]
        if following == "Scheduled":
            await self._launch_target(migration, vmi)
        if following == "Running":
            await self._begin(migration, vmi)
        await self._show(migration, following)
        return 0.0

    async def _launch_target(self, migration: Object, vmi: Object) -> None:
        target = launcher_of(vmi)
        target["metadata"]["labels"][MIGRATION_JOB] = migration["metadata"]["uid"]
        target["spec"]["nodeName"] = OTHER_NODE if node_of(vmi) == NODE else NODE
        if await self._target(migration) is None:
            await self._cluster.create(POD, target)

    async def _begin(self, migration: Object, vmi: Object) -> None:
        target, source = await self._target(migration), await self._source(vmi)
        assert target is not None, "made when the migration was scheduled"
        state = {
            "migrationUid": migration["metadata"]["uid"],
            "startTimestamp": timestamp(),
            "sourceNode": node_of(vmi),
            "sourcePod": source["metadata"]["name"] if source else "",
            "targetNode": target["spec"]["nodeName"],
            "targetPod": target["metadata"]["name"],
        }
        await self._cluster.update(
            VIRTUAL_MACHINE_INSTANCE, {**vmi, "status": {**vmi["status"], "migrationState": state}}
        )

    async def _complete(self, migration: Object, vmi: Object) -> float | None:
        """The guest is on the target node from now on; the pod that it came from ends."""
        if HELD in annotations_of(migration):
            return None
        state = vmi["status"]["migrationState"]
        if not state.get("completed"):
            source = await self._source(vmi)
            done = {**state, "completed": True, "endTimestamp": timestamp()}
            status = {**vmi["status"], "migrationState": done, "nodeName": state["targetNode"]}
            await self._cluster.update(VIRTUAL_MACHINE_INSTANCE, {**vmi, "status": status})
            if source is not None:
                await self._cluster.delete(POD, source["metadata"]["name"], key_of(vmi)[0], grace_seconds=0)
        await self._show(migration, "Succeeded")
        return None

    async def _target(self, migration: Object) -> Object | None:
        label = f"{MIGRATION_JOB}={migration['metadata']['uid']}"
        pods = await self._cluster.list(POD, migration["metadata"]["namespace"], labels=label)
        return pods[0] if pods else None

    async def _source(self, vmi: Object) -> Object | None:
        return launcher_among(await self._cluster.list(POD, key_of(vmi)[0], labels=launcher_label(vmi)), vmi)

    async def _show(self, migration: Object, phase: str) -> None:
        status = {**(migration.get("status") or {}), "phase": phase}
        await self._cluster.update_status(VM_MIGRATION, {**migration, "status": status})

    def _migrations_of(self, vmi: Object) -> Iterable[Key]:
        namespace, name = key_of(vmi)
        found = self._caches.migrations.list(namespace)
        return [key_of(migration) for migration in found if migration["spec"]["vmiName"] == name]


def node_of(vmi: Object) -> str:
    """The node on which an instance is, or is to be."""
    return str((vmi.get("status") or {}).get("nodeName") or NODE)


def launcher_label(vmi: Object) -> str:
    """The selector of an instance's virt-launcher pods."""
    return f"{CREATED_BY}={vmi['metadata']['uid']}"


def launcher_among(pods: Iterable[Object], vmi: Object) -> Object | None:
    """The pod in which the instance is: not one that a migration has prepared."""
    there = [pod for pod in pods if pod["spec"].get("nodeName") == node_of(vmi)]
    return min(there, key=lambda pod: MIGRATION_JOB not in labels_of(pod), default=None)
