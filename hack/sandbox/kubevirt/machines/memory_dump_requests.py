"""What virt-controller does with `VirtualMachine.status.memoryDumpRequest`, from its source: no recording exists.

| phase | until |
|---|---|
| Associating | VM and instance have the volume, and the dump has begun |
| InProgress | virt-handler tells that the dump has ended |
| Unmounting | the instance has let the volume go; the VM keeps it in its template |
| Completed, Failed | somebody asks for the removal |
| Dissociating | nobody has the volume any more; then the request is gone |
"""

from __future__ import annotations

import copy
from datetime import datetime

from sandbox.cluster.client import Cluster, Object, Objects, timestamp
from sandbox.cluster.kinds import VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE
from sandbox.kubevirt.machines.lifecycle import phase_of
from sandbox.kubevirt.machines.memory_dumps import COMPLETED, FAILED, memory_dump_claims
from sandbox.kubevirt.volumes import template_volumes

_ASSOCIATING, _IN_PROGRESS, _UNMOUNTING = "Associating", "InProgress", "Unmounting"
_ENDED, _DISSOCIATING = ("Completed", "Failed"), "Dissociating"


async def settle_volumes(cluster: Cluster, vm: Object, vmi: Object | None) -> bool:
    """Brings the volume into the VM and its instance, or out of them; True if something was written."""
    request = _request(vm)
    if request is None:
        return False
    phase, claim = request["phase"], request["claimName"]
    wanted = {
        _ASSOCIATING: (True, True),
        _IN_PROGRESS: (True, True),
        _DISSOCIATING: (False, False),
    }.get(phase, (True, False))
    template = template_volumes(vm)
    if _holds(template, claim) != wanted[0]:
        changed = copy.deepcopy(vm)
        changed["spec"]["template"]["spec"]["volumes"] = _changed(template, claim, wanted=wanted[0])
        await cluster.update(VIRTUAL_MACHINE, changed)
        return True
    if vmi is None or phase_of(vmi) != "Running":
        return False
    volumes = list(vmi["spec"].get("volumes") or [])
    if _holds(volumes, claim) != wanted[1]:
        spec = {**vmi["spec"], "volumes": _changed(volumes, claim, wanted=wanted[1])}
        await cluster.update(VIRTUAL_MACHINE_INSTANCE, {**vmi, "spec": spec})
        return True
    return False


def next_request(vm: Object, vmi: Object | None, now: datetime) -> Object | None:
    """The request after one look; None when there is none, or no more."""
    request = _request(vm)
    if request is None:
        return None
    running = vmi is not None and phase_of(vmi) == "Running"
    entry = _entry(vmi, request["claimName"]) if vmi is not None and running else None
    phase = request["phase"]
    if phase in (_ASSOCIATING, _IN_PROGRESS):
        return _dumped(request, entry, now) if running else _failed(request, "VMI is not running", now)
    if phase == _UNMOUNTING and entry is None:
        return {**request, "phase": "Completed"}
    if phase == _DISSOCIATING and entry is None and not _is_held(vm, vmi, request["claimName"]):
        return None
    return request


def _dumped(request: Object, entry: Object | None, now: datetime) -> Object:
    told: Object = (entry or {}).get("memoryDumpVolume") or {}
    if entry is None or not told:
        return request
    if entry["phase"] == FAILED:
        return _failed(request, entry["message"], now)
    begun = {**request, "phase": _IN_PROGRESS, "startTimestamp": told["startTimestamp"]}
    if entry["phase"] != COMPLETED:
        return begun
    ended = {"endTimestamp": told["endTimestamp"], "fileName": told["targetFileName"]}
    return {**begun, "phase": _UNMOUNTING, **ended}


def _failed(request: Object, message: str, now: datetime) -> Object:
    return {**request, "phase": "Failed", "message": message, "endTimestamp": timestamp(now)}


def _request(vm: Object) -> Object | None:
    found: Object | None = (vm.get("status") or {}).get("memoryDumpRequest")
    return found


def _entry(vmi: Object, claim: str) -> Object | None:
    statuses: Objects = (vmi.get("status") or {}).get("volumeStatus") or []
    return next((item for item in statuses if item["name"] == claim), None)


def _is_held(vm: Object, vmi: Object | None, claim: str) -> bool:
    of_instance = memory_dump_claims(vmi) if vmi is not None else {}
    return claim in of_instance or _holds(template_volumes(vm), claim)


def _holds(volumes: Objects, claim: str) -> bool:
    return any(item.get("memoryDump", {}).get("claimName") == claim for item in volumes)


def _changed(volumes: Objects, claim: str, *, wanted: bool) -> Objects:
    others = [item for item in volumes if item.get("memoryDump", {}).get("claimName") != claim]
    added = [{"name": claim, "memoryDump": {"claimName": claim, "hotpluggable": True}}] if wanted else []
    return others + added
