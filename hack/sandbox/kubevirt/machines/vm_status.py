"""The status of a VirtualMachine, derived from its instance and its claims."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.cluster.metadata import annotations_of, is_deleting
from sandbox.kubevirt.conditions import condition_of, is_true, with_condition
from sandbox.kubevirt.machines.lifecycle import FINAL_PHASES, phase_of, run_strategy, start_failure
from sandbox.kubevirt.machines.memory_dump_requests import next_request
from sandbox.kubevirt.names import VM_GENERATION
from sandbox.kubevirt.volumes import template_volumes, volume_snapshot_statuses


def vm_status(
    vm: Object,
    vmi: Object | None,
    claims: Mapping[str, Object],
    class_of: Callable[[Object], str | None],
    requests: Objects,
    now: datetime,
    state_volumes: Sequence[Object] = (),
) -> Object:
    """The whole status; what the snapshot and restore controllers wrote there stays.

    `state_volumes`: TPM and EFI state, which snapshots hold although it is none of the VM's volumes.
    """
    status = copy.deepcopy(vm.get("status") or {})
    for field in ("created", "ready", "stateChangeRequests", "memoryDumpRequest"):
        status.pop(field, None)
    if dump := next_request(vm, vmi, now):
        status["memoryDumpRequest"] = dump
    if requests:
        status["stateChangeRequests"] = requests
    status["volumeSnapshotStatuses"] = volume_snapshot_statuses(
        [*template_volumes(vm), *state_volumes], claims, class_of
    )
    status["conditions"] = _conditions(status.get("conditions") or [], vmi, timestamp(now))
    if vmi is not None:
        status |= _of_instance(vm, vmi)
        failure = start_failure(vm, vmi, now)
        status.pop("startFailure", None)
        if failure:
            status["startFailure"] = failure
    status["printableStatus"] = printable_status(vm, vmi, claims, now)
    return status


def printable_status(vm: Object, vmi: Object | None, claims: Mapping[str, Object], now: datetime) -> str:
    """The word that `kubectl get vm` shows."""
    if is_deleting(vm):
        return "Terminating"
    phase = phase_of(vmi)
    if vmi is None or phase in FINAL_PHASES:
        return "CrashLoopBackOff" if _backing_off(vm, now) else "Stopped"
    if is_deleting(vmi):
        return "Stopping"
    if phase == "Running":
        return "Paused" if is_true(vmi, "Paused") else "Running"
    synchronized = condition_of(vmi, "Synchronized") or {}
    if synchronized.get("reason") == "FailedPvcNotFound":
        return "ErrorPvcNotFound"
    if any((claim.get("status") or {}).get("phase") != "Bound" for claim in claims.values()):
        return "WaitingForVolumeBinding"
    return "Starting"


def _of_instance(vm: Object, vmi: Object) -> Object:
    generation = annotations_of(vmi).get(VM_GENERATION)
    fields: Object = {"created": True, "runStrategy": run_strategy(vm)}
    fields["desiredGeneration"] = vm["metadata"]["generation"]
    if generation:
        fields["observedGeneration"] = int(generation)
    return fields | ({"ready": True} if is_true(vmi, "Ready") else {})


def _conditions(conditions: Objects, vmi: Object | None, now: str) -> Objects:
    """The instance's own conditions. Without an instance only Ready changes and the others go stale, as recorded."""
    if vmi is None:
        absent = {"type": "Ready", "status": "False", "reason": "VMINotExists", "message": "VMI does not exist"}
        return with_condition(conditions, absent, now)
    if condition_of(vmi, "Ready") is None:
        missing: Object = {"type": "Ready", "status": "False", "reason": "VMIConditionMissing"}
        return with_condition([], {**missing, "message": "VMI is missing the Ready condition"}, now)
    return list(vmi["status"]["conditions"])


def _backing_off(vm: Object, now: datetime) -> bool:
    retry_at = ((vm.get("status") or {}).get("startFailure") or {}).get("retryAfterTimestamp")
    return retry_at is not None and datetime.fromisoformat(retry_at) > now
