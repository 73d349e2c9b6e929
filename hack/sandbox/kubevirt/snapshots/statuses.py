"""The statuses of a snapshot and of its content, derived from what is observed."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.conditions import with_reason
from sandbox.kubevirt.snapshots.observed import Observed

_LIMIT = "fsfreeze is limited"
"""By which KubeVirt knows it."""
_MESSAGES = {
    "GuestAgent": "Guest agent was active and attempted to quiesce the filesystem for application consistency.",
    "NoGuestAgent": "Guest agent was not available. Snapshot is crash-consistent and may not be "
    "application-consistent.",
    "Online": "Snapshot taken while the VM was running. Consistency depends on guest-agent quiescing.",
    "Paused": "Snapshot taken while the VM was paused. Snapshot is crash-consistent and may not be "
    "application-consistent.",
    "QuiesceTimeout": "Guest agent quiesced the filesystem, but the freeze window timed out before completion. "
    "Snapshot is crash-consistent and may not be application-consistent.",
    "PartialSnapshot": "Not all snapshotable volumes were included in the snapshot. Check status.snapshotVolumes for "
    "excluded volumes and VM VolumeSnapshotStatus for details.",
}


def first_status(observed: Observed, now: str) -> Object:
    """The status with which every snapshot begins."""
    reason = "Source not locked" if observed.vm else "Source does not exist"
    status: Object = {"phase": "InProgress", "readyToUse": False}
    if observed.vm:
        status["sourceUID"] = observed.vm["metadata"]["uid"]
    status["conditions"] = with_reason(
        with_reason([], "Progressing", False, reason, now), "Ready", False, "Not ready", now
    )
    return status | _indications(_online_indications(observed))


def progressing(observed: Observed, running: bool, reason: str, now: str) -> Object:
    """The present status with another word about its progress."""
    status = observed.status
    return status | {"conditions": with_reason(status.get("conditions") or [], "Progressing", running, reason, now)}


def failed_status(observed: Observed, now: str) -> Object:
    """The end by the deadline."""
    status = progressing(observed, False, "Operation failed", now)
    conditions = with_reason(status["conditions"], "Ready", False, "Not ready", now)
    conditions = with_reason(conditions, "Failure", True, "snapshot deadline exceeded", now)
    return {**status, "phase": "Failed", "readyToUse": False, "conditions": conditions}


def deleting_status(observed: Observed, now: str) -> Object:
    """A snapshot that is deleted before its outcome."""
    return progressing(observed, False, "VM snapshot is deleting", now) | {"phase": "Deleting"}


def settled_status(observed: Observed, now: str) -> Object:
    """What follows from the content's status: error, outcome, readiness."""
    assert observed.content is not None
    content, status = observed.content_status, observed.status
    status["virtualMachineSnapshotContentName"] = observed.content["metadata"]["name"]
    if observed.vm:
        status["sourceUID"] = observed.vm["metadata"]["uid"]
    error = content.get("error")
    status.pop("error", None)
    if error:
        status["error"] = error
    if let_go(observed):
        status |= _indications({*(status.get("indications") or []), "QuiesceTimeout"})
    ready = bool(content.get("readyToUse"))
    status["readyToUse"] = ready
    if "creationTime" in content and observed.in_progress:
        status |= {"phase": "Succeeded", "creationTime": content["creationTime"]}
        status |= _volumes_of(observed, status)
    running = status["phase"] == "InProgress"
    words = "Operation complete" if not running else "Source locked and operation in progress"
    conditions = with_reason(
        status.get("conditions") or [], "Progressing", running and not error, "In error state" if error else words, now
    )
    if error and error != observed.status.get("error"):
        # As recorded: every retry moves the time of the condition, although its status stays.
        conditions = [
            item | ({"lastTransitionTime": now} if item["type"] == "Progressing" else {}) for item in conditions
        ]
    status["conditions"] = with_reason(conditions, "Ready", ready, "Ready" if ready else "Not ready", now)
    return status


def let_go(observed: Observed) -> bool:
    """Whether the last thaw was told that the freeze had ended by itself, as Windows' VSS ends it."""
    return _LIMIT in str((observed.content_status.get("error") or {}).get("message") or "")


def content_status(observed: Observed, now: str) -> Object:
    """What follows from the VolumeSnapshots; creationTime is the caller's to set, after the thaw."""
    assert observed.content is not None
    before = observed.content_status
    names = [backup["volumeSnapshotName"] for backup in observed.content["spec"]["volumeBackups"]]
    statuses = [_volume_snapshot_status(name, observed.volume_snapshots.get(name)) for name in names]
    missing = missing_volume_snapshots(observed)
    status: Object = {
        "readyToUse": not missing and all(item.get("readyToUse") for item in statuses),
        "volumeSnapshotStatus": [item for item in statuses if item["volumeSnapshotName"] not in missing],
    }
    if "creationTime" in before:
        status["creationTime"] = before["creationTime"]
    message = _error_message(statuses, missing)
    if message:
        same = (before.get("error") or {}).get("message") == message
        status["error"] = before["error"] if same else {"message": message, "time": now}
    return status


def missing_volume_snapshots(observed: Observed) -> list[str]:
    """VolumeSnapshots that were there when the snapshot succeeded and no longer are."""
    if "creationTime" not in observed.content_status or observed.content is None:
        return []
    names = [backup["volumeSnapshotName"] for backup in observed.content["spec"]["volumeBackups"]]
    return [name for name in names if name not in observed.volume_snapshots]


def _error_message(statuses: Objects, missing: list[str]) -> str | None:
    if missing:
        return f"VolumeSnapshots ({','.join(missing)}) missing"
    for item in reversed(statuses):
        if "error" in item:
            return f"VolumeSnapshot {item['volumeSnapshotName']} error: {item['error'].get('message', '')}"
    return None


def _volume_snapshot_status(name: str, volume_snapshot: Object | None) -> Object:
    seen = (volume_snapshot or {}).get("status") or {}
    fields = {field: seen[field] for field in ("creationTime", "readyToUse", "error") if field in seen}
    return {"volumeSnapshotName": name, **fields}


def _volumes_of(observed: Observed, status: Object) -> Object:
    assert observed.content is not None
    backed_up = {backup["volumeName"] for backup in observed.content["spec"]["volumeBackups"]}
    names = [volume["name"] for volume in observed.volumes]
    listed = {
        "includedVolumes": [name for name in names if name in backed_up],
        "excludedVolumes": [name for name in names if name not in backed_up],
    }
    update: Object = {"snapshotVolumes": {field: value for field, value in listed.items() if value}}
    if any(name not in backed_up for name in observed.candidates):
        update |= _indications({*(status.get("indications") or []), "PartialSnapshot"})
    return update


def _online_indications(observed: Observed) -> set[str]:
    if not observed.online:
        return set()
    if observed.paused:
        return {"Online", "Paused"}
    return {"Online", "GuestAgent" if observed.freezable else "NoGuestAgent"}


def _indications(names: set[str]) -> Object:
    """Sorted, both in the deprecated list and with their messages."""
    if not names:
        return {}
    explained = [{"indication": name, "message": _MESSAGES[name]} for name in sorted(names)]
    return {"indications": sorted(names), "sourceIndications": explained}
