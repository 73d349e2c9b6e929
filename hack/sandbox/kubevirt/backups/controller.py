"""Carries out the steps of backups/plan.py against the API server and the guests."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError, NotFoundError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import (
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_BACKUP,
    VM_BACKUP_TRACKER,
    VM_EXPORT,
)
from sandbox.cluster.metadata import annotations_of, with_finalizers
from sandbox.cluster.quantity import parse_quantity
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.backups import steps
from sandbox.kubevirt.backups.jobs import BackupJobs, Order
from sandbox.kubevirt.backups.observed import Observed
from sandbox.kubevirt.backups.plan import next_step
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.machines.disks import backing_path
from sandbox.kubevirt.names import BACKUP_COMPONENT, BACKUP_FINALIZER, BACKUP_SPEED
from sandbox.kubevirt.stepping import take_steps


class BackupController:
    """Brings every VirtualMachineBackup to its end. `volumes` is the folder of the sandbox's CSI driver."""

    def __init__(self, cluster: Cluster, caches: Caches, jobs: BackupJobs, volumes: Path) -> None:
        self._cluster = cluster
        self._caches = caches
        self._jobs = jobs
        self._volumes = volumes

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "backups", workers=4, max_backoff_seconds=5.0)
        controller.watch(self._caches.backups)
        controller.watch(self._caches.trackers, self._backups_near)
        controller.watch(self._caches.machines, self._backups_near)
        controller.watch(self._caches.instances, self._backups_near)
        controller.watch(self._caches.claims, self._backups_near)
        controller.watch(self._caches.exports, lambda export: [key_of(export)])
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """Takes steps until there is something to wait for."""
        return await take_steps(lambda: self._observe(key), next_step, self._take)

    async def _observe(self, key: Key) -> Observed | None:
        """Reads everything anew, since each step must see the one before."""
        namespace, name = key
        backup = await self._cluster.get(VM_BACKUP, name, namespace)
        if backup is None:
            return None
        source = backup["spec"]["source"]
        by_tracker = source["kind"] == "VirtualMachineBackupTracker"
        tracker = await self._cluster.get(VM_BACKUP_TRACKER, source["name"], namespace) if by_tracker else None
        machine = tracker["spec"]["source"]["name"] if tracker else None if by_tracker else source["name"]
        return Observed(
            backup=backup,
            tracker=tracker,
            vm=await self._cluster.get(VIRTUAL_MACHINE, machine, namespace) if machine else None,
            vmi=await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, machine, namespace) if machine else None,
            claim=self._caches.claims.get(backup["spec"]["pvcName"], namespace),
            export=await self._cluster.get(VM_EXPORT, name, namespace),
        )

    async def _take(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.AddFinalizer():
                await self._cluster.update(VM_BACKUP, with_finalizers(observed.backup, add=[BACKUP_FINALIZER]))
            case steps.RemoveFinalizer():
                await self._cluster.update(VM_BACKUP, with_finalizers(observed.backup, remove=[BACKUP_FINALIZER]))
            case steps.WriteStatus(status):
                await self._write(observed, status)
            case steps.CreateExport(export):
                with suppress(AlreadyExistsError):
                    await self._cluster.create(VM_EXPORT, export)
            case steps.DeleteExport():
                await self._cluster.delete(VM_EXPORT, observed.name, observed.backup["metadata"]["namespace"])
            case steps.AdvanceTracker(checkpoint):
                await self._advance(observed, checkpoint)
            case _:
                await self._take_on_guest(step, observed)

    async def _take_on_guest(self, step: steps.Step, observed: Observed) -> None:
        match step:
            case steps.AttachClaim():
                await self._plug(observed, attach=True)
            case steps.DetachClaim():
                await self._plug(observed, attach=False)
            case steps.StartJob(base, status):
                await self._start(observed, base)
                await self._write(observed, status)
            case steps.AbortJob(status):
                await self._write(observed, status)
                kind = "Normal" if observed.pull else "Warning"
                await self._event(observed, kind, "VirtualMachineBackupAborting", "Backup is aborting")
                await self._jobs.abort(_machine(observed))
            case steps.Finish(status, event):
                await self._finish(observed, status, event)
            case steps.Fail(problem):
                raise OSError(problem)

    async def _start(self, observed: Observed, base: str | None) -> None:
        """Mirrors the job in the instance first, as recorded, then takes the point in time."""
        assert observed.vm is not None
        assert observed.claim is not None
        created = observed.backup["metadata"]["creationTimestamp"]
        await self._mirror(observed, {"backupName": observed.name, "startTimestamp": created})
        volume = self._caches.volumes.get(observed.claim["spec"].get("volumeName") or "")
        moment = datetime.fromisoformat(created).strftime("%Y-%m-%d_%H-%M-%S")
        try:
            await self._jobs.start(
                Order(
                    machine=_machine(observed),
                    backup=observed.name,
                    checkpoint=f"{observed.name}-{moment}",
                    base=base,
                    push=not observed.pull,
                    quiesce=not observed.backup["spec"].get("skipQuiesce"),
                    folder=backing_path(observed.utility_volume, observed.claim, volume, self._volumes),
                    capacity_bytes=parse_quantity(observed.claim["status"]["capacity"]["storage"]),
                    bytes_per_second=int(annotations_of(observed.vm).get(BACKUP_SPEED) or 0),
                )
            )
        except GuestError as error:
            raise OSError(f"failed to send Start backup command: {error}") from error

    async def _finish(self, observed: Observed, status: Object, event: tuple[str, str, str]) -> None:
        if observed.job is not None and observed.job["backupName"] == observed.name:
            await self._jobs.forget(_machine(observed))
            await self._mirror(observed, None)
        await self._event(observed, *event)
        await self._write(observed, status)

    async def _mirror(self, observed: Observed, job: Object | None) -> None:
        namespace, name = _machine(observed)
        body = {"status": {"changedBlockTracking": {"backupStatus": job}}}
        with suppress(NotFoundError):
            await self._cluster.patch(VIRTUAL_MACHINE_INSTANCE, name, body, namespace)

    async def _plug(self, observed: Observed, *, attach: bool) -> None:
        """Asks for the claim in the instance's spec, or no longer; the instance's controller does the rest."""
        assert observed.vmi is not None
        others = observed.vmi["spec"].get("utilityVolumes") or []
        volumes = [item for item in others if item["name"] != observed.utility_volume]
        if attach:
            claim = observed.backup["spec"]["pvcName"]
            volumes.append({"name": observed.utility_volume, "claimName": claim, "type": "Backup"})
        spec = {field: value for field, value in observed.vmi["spec"].items() if field != "utilityVolumes"}
        if volumes:
            spec["utilityVolumes"] = volumes
        await self._cluster.update(VIRTUAL_MACHINE_INSTANCE, {**observed.vmi, "spec": spec})

    async def _advance(self, observed: Observed, checkpoint: Object) -> None:
        assert observed.tracker is not None
        tracker = {**observed.tracker, "status": {"latestCheckpoint": checkpoint}}
        await self._cluster.update_status(VM_BACKUP_TRACKER, tracker)

    async def _write(self, observed: Observed, status: Object) -> None:
        await self._cluster.update_status(VM_BACKUP, {**observed.backup, "status": status})

    async def _event(self, observed: Observed, event_type: str, reason: str, message: str) -> None:
        await self._cluster.event(observed.backup, event_type, reason, message, BACKUP_COMPONENT)

    def _backups_near(self, changed: Object) -> Iterable[Key]:
        """The backups of a namespace that name the object: as source, through their tracker, or as claim."""
        namespace, name = key_of(changed)
        trackers = {
            item["metadata"]["name"]
            for item in self._caches.trackers.list(namespace)
            if item["spec"]["source"]["name"] == name
        }
        return [
            key_of(backup)
            for backup in self._caches.backups.list(namespace)
            if backup["spec"]["source"]["name"] in {name, *trackers} or backup["spec"].get("pvcName") == name
        ]


def _machine(observed: Observed) -> Key:
    assert observed.machine_name is not None
    return observed.backup["metadata"]["namespace"], observed.machine_name
