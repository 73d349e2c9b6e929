"""The status of a VirtualMachineInstance, derived from its guest, its claims and its launcher pod."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime

from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.cluster.metadata import is_deleting
from sandbox.kubevirt.conditions import with_condition, without_condition
from sandbox.kubevirt.machines.block_tracking import ENABLED
from sandbox.kubevirt.machines.hypervisor import Running
from sandbox.kubevirt.machines.lifecycle import FINAL_PHASES, phase_of
from sandbox.kubevirt.volumes import claim_name

_OS_FIELDS = {
    "id": "id",
    "name": "name",
    "prettyName": "pretty-name",
    "kernelRelease": "kernel-release",
    "kernelVersion": "kernel-version",
    "machine": "machine",
    "version": "version",
    "versionId": "version-id",
}


def missing_claims_status(vmi: Object, missing: list[str], now: datetime) -> Object:
    """Waiting for claims that do not exist: phase Pending with the words of virt-controller."""
    status = _copied(vmi)
    message = f"PVC {vmi['metadata']['namespace']}/{missing[0]} does not exist, waiting for it to appear"
    absent = {"type": "Ready", "status": "False", "reason": "PodNotExists"}
    absent["message"] = "virt-launcher pod has not yet been scheduled"
    failed = {"type": "Synchronized", "status": "False", "reason": "FailedPvcNotFound", "message": message}
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    for condition in (absent, unscheduled, failed):
        status["conditions"] = with_condition(status.get("conditions") or [], condition, timestamp(now))
    return status


def launched_status(
    vmi: Object, pod: Object, running: Running | None, claims: Mapping[str, Object], now: datetime
) -> Object:
    """From the pod's creation to the end of the guest."""
    status = _copied(vmi)
    moment = timestamp(now)
    node = pod["spec"]["nodeName"]
    status["activePods"] = {pod["metadata"]["uid"]: node}
    _move(status, _phase(vmi, running), moment)
    conditions = status.get("conditions") or []
    for stale in ("Synchronized", "PodScheduled"):
        conditions = without_condition(conditions, stale)
    conditions = with_condition(conditions, _ready(vmi, status["phase"]), moment)
    conditions = _of_guest(conditions, running, status["phase"], moment)
    if running is not None and status["phase"] == "Running":
        conditions = with_condition(conditions, _migratable(claims), moment)
    status["conditions"] = conditions
    status.pop("fsFreezeStatus", None)
    if running is not None:
        status["nodeName"] = node
        status["volumeStatus"] = _volume_status(vmi, claims, running)
        if running.frozen:
            status["fsFreezeStatus"] = "frozen"
        if "changedBlockTracking" in status and running.tracks_blocks:
            status["changedBlockTracking"]["state"] = ENABLED
        if running.os_info:
            status["guestOSInfo"] = {
                field: running.os_info[key] for field, key in _OS_FIELDS.items() if key in running.os_info
            }
    return status


def ended_status(vmi: Object, succeeded: bool, now: datetime) -> Object:
    """The final phase of an instance whose guest has ended or never ran."""
    status = _copied(vmi)
    if status.get("phase") not in FINAL_PHASES:
        _move(status, "Succeeded" if succeeded else "Failed", timestamp(now))
    status.pop("fsFreezeStatus", None)
    ended = {"type": "Ready", "status": "False", "reason": "GuestNotRunning"}
    ended["message"] = "Guest VM is not reported as running"
    status["conditions"] = with_condition(status.get("conditions") or [], ended, timestamp(now))
    return status


def claim_info(claim: Object) -> Object:
    """PersistentVolumeClaimInfo of a volume's status."""
    return {
        "claimName": claim["metadata"]["name"],
        "accessModes": claim["spec"].get("accessModes") or [],
        "capacity": (claim.get("status") or {}).get("capacity") or {},
        "requests": (claim["spec"].get("resources") or {}).get("requests") or {},
        "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
    }


def _phase(vmi: Object, running: Running | None) -> str:
    before = phase_of(vmi)
    if before in FINAL_PHASES:
        return before
    if running is None:
        return "Scheduling" if before in ("", "Pending") else before
    if running.exit_status is None:
        return "Running"
    return "Succeeded" if running.exit_status == 0 or running.stopping else "Failed"


def _ready(vmi: Object, phase: str) -> Object:
    if is_deleting(vmi):
        words = ("PodTerminating", "virt-launcher pod is terminating")
    elif phase == "Running":
        return {"type": "Ready", "status": "True", "lastProbeTime": None}
    else:
        words = ("GuestNotRunning", "Guest VM is not reported as running")
    return {"type": "Ready", "status": "False", "reason": words[0], "message": words[1]}


def _migratable(claims: Mapping[str, Object]) -> Object:
    """Whether both nodes may have all disks at the same time."""
    if all("ReadWriteMany" in (claim["spec"].get("accessModes") or []) for claim in claims.values()):
        return {"type": "LiveMigratable", "status": "True"}
    return {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"}


def _of_guest(conditions: Objects, running: Running | None, phase: str, now: str) -> Objects:
    if running is None or phase != "Running":
        return conditions
    if running.agent_connected:
        known = any(item["type"] == "AgentConnected" for item in conditions)
        agent = {"type": "AgentConnected", "status": "True", "lastTransitionTime": None}
        conditions = conditions if known else [*conditions, {"lastProbeTime": now, **agent}]
    else:
        conditions = without_condition(conditions, "AgentConnected")
    if running.paused:
        paused = {"type": "Paused", "status": "True", "reason": "PausedByUser", "message": "VMI was paused by user"}
        return with_condition(conditions, paused, now)
    return without_condition(conditions, "Paused")


def _volume_status(vmi: Object, claims: Mapping[str, Object], running: Running) -> Objects:
    statuses: Objects = []
    for volume in vmi["spec"].get("volumes") or []:
        if claim_name(volume) and volume["name"] not in running.started_with:  # shown as what is plugged
            continue
        status: Object = {"name": volume["name"], "target": ""}
        source = volume.get("persistentVolumeClaim") or {}
        claim = claims.get(source.get("claimName") or (volume.get("dataVolume") or {}).get("name") or "")
        if claim is not None:
            status["persistentVolumeClaimInfo"] = claim_info(claim)
        statuses.append(status)
    return statuses


def _move(status: Object, phase: str, now: str) -> None:
    if status.get("phase") != phase:
        status["phase"] = phase
        reached = {"phase": phase, "phaseTransitionTimestamp": now}
        status["phaseTransitionTimestamps"] = [*(status.get("phaseTransitionTimestamps") or []), reached]


def _copied(vmi: Object) -> Object:
    return copy.deepcopy(vmi.get("status") or {})
