"""What virt-handler does with a memory dump: it writes the guest's memory into the claim that was plugged for it.

No recording exists of this: phases, file name and texts are those of KubeVirt's source (pkg/virt-handler and
pkg/virt-controller/watch, for volumeStatus[].memoryDumpVolume).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.cluster.informer import Key, key_of
from sandbox.guest.errors import GuestError
from sandbox.guest.memory_dump import dump_memory
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.machines.disks import backing_path
from sandbox.kubevirt.machines.hypervisor import Hypervisor

IN_PROGRESS, COMPLETED, FAILED = "MemoryDumpVolumeInProgress", "MemoryDumpVolumeCompleted", "MemoryDumpVolumeFailed"
_MOUNTED = "MountedToPod"
_QEMU_ID = 107


def memory_dump_claims(vmi: Object) -> dict[str, str]:
    """Volume name → claim name of an instance's memory dumps."""
    volumes = vmi["spec"].get("volumes") or []
    return {item["name"]: item["memoryDump"]["claimName"] for item in volumes if "memoryDump" in item}


class MemoryDumps:
    """One dump per plugged claim. `on_change` hears when one has ended."""

    def __init__(self, caches: Caches, hypervisor: Hypervisor, volumes: Path) -> None:
        self.on_change: Callable[[Key], None] = lambda _: None
        self._caches = caches
        self._hypervisor = hypervisor
        self._volumes = volumes
        self._tasks: dict[tuple[Key, str], asyncio.Task[Object]] = {}

    def shown(self, vmi: Object, statuses: Objects) -> Objects:
        """The entries of status.volumeStatus, those of dumps with how far they are. Starts what is plugged."""
        claims = memory_dump_claims(vmi)
        for task in [key for key in self._tasks if key[0] == key_of(vmi) and key[1] not in claims]:
            self._tasks.pop(task).cancel()
        return [self._entry(vmi, item, claims.get(item["name"])) for item in statuses]

    def _entry(self, vmi: Object, entry: Object, claim_name: str | None) -> Object:
        if claim_name is None or entry["phase"] != _MOUNTED:
            return entry
        key = (key_of(vmi), entry["name"])
        before = next((item for item in _statuses(vmi) if item["name"] == entry["name"]), {})
        if before.get("phase") in (COMPLETED, FAILED):
            told = {field: before[field] for field in ("phase", "reason", "message", "memoryDumpVolume")}
            return entry | told
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._dump(vmi, entry["name"], claim_name))
        task = self._tasks[key]
        if task.done():
            return entry | task.result()
        begun = (before.get("memoryDumpVolume") or {}).get("startTimestamp") or timestamp()
        message = f"Memory dump Volume {entry['name']} is attached, getting memory dump"
        dumped = {"claimName": claim_name, "startTimestamp": begun}
        return entry | {"phase": IN_PROGRESS, "reason": IN_PROGRESS, "message": message, "memoryDumpVolume": dumped}

    async def _dump(self, vmi: Object, volume: str, claim_name: str) -> Object:
        namespace, name = key = key_of(vmi)
        now = datetime.now(UTC)
        file_name = f"{name}-{volume}-{now:%Y%m%d-%H%M%S}.memory.dump"
        shown: Object = {"claimName": claim_name, "startTimestamp": timestamp(now), "targetFileName": file_name}
        phase, message = COMPLETED, f"Memory dump to Volume {volume} has completed successfully"
        try:
            folder = self._folder(claim_name, namespace)
            guest = self._hypervisor.guest(key)
            await dump_memory(guest.monitor, folder / file_name, _QEMU_ID)
        except GuestError as error:
            phase, message = FAILED, f"Memory dump to pvc {claim_name} failed: {error}"
        shown["endTimestamp"] = timestamp()
        asyncio.get_running_loop().call_soon(self.on_change, key)
        return {"phase": phase, "reason": phase, "message": message, "memoryDumpVolume": shown}

    def _folder(self, claim_name: str, namespace: str) -> Path:
        claim = self._caches.claims.get(claim_name, namespace)
        if claim is None:
            raise GuestError(f"claim {claim_name} is gone")
        volume = self._caches.volumes.get(claim["spec"].get("volumeName") or "")
        return backing_path(claim_name, claim, volume, self._volumes)

    async def close(self) -> None:
        """Gives up what runs."""
        for task in self._tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _statuses(vmi: Object) -> Objects:
    return list((vmi.get("status") or {}).get("volumeStatus") or [])
