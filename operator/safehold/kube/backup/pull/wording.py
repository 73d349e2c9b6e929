"""How KubeVirt words its backups (backup.kubevirt.io/v1alpha1 as of 1.9). Only this module knows.

The kinds are alpha: 1.8 had other conditions, and 1.10 moves the endpoints. The endpoints are read from the export
that KubeVirt makes of a backup, because those in the backup's own status lead through an Ingress where there is one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from safehold.kube.client import Manifest
from safehold.plan.backup.pull.facts import InstanceFacts, PullBackupFacts, ServedDisk, TrackerFacts
from safehold.plan.names import OWNER_UID

COMMITTED = "safehold.dev/committed-checkpoint"
"""Annotation of a tracker: the last checkpoint whose restore point is complete."""
COMMITTED_INSTANCE = "safehold.dev/committed-instance"
"""Annotation of a tracker: uid of the VirtualMachineInstance that ran then."""
TRACKER_KIND = "VirtualMachineBackupTracker"

_ENDS: tuple[Literal["Complete", "Failed"], ...] = ("Complete", "Failed")


def backup_facts(found: Manifest, export: Manifest | None) -> PullBackupFacts:
    """A VirtualMachineBackup with the export that serves it."""
    metadata, status = found["metadata"], found.get("status") or {}
    progress, quiesced = _condition(status, "Progressing"), _condition(status, "Quiesced")
    served, ca = _served(export)
    state = _state(status, progress) if not (_is_ready(progress) and not served) else "Waiting"
    ended = next((_condition(status, end) for end in _ENDS if state == end), progress)
    return PullBackupFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=(metadata.get("labels") or {}).get(OWNER_UID),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        state=state,
        message=str(ended.get("message") or ""),
        incremental=status.get("type") == "Incremental",
        checkpoint=str(status.get("checkpointName") or ""),
        disks=tuple(volume["volumeName"] for volume in status.get("includedVolumes") or []),
        taken_at=datetime.fromisoformat(quiesced["lastTransitionTime"]) if quiesced else None,
        quiesced=quiesced.get("status") == "True",
        quiesce_word=str(quiesced.get("reason") or ""),
        quiesce_message=str(quiesced.get("message") or ""),
        served=served,
        ca=ca,
    )


def tracker_facts(found: Manifest) -> TrackerFacts:
    """A VirtualMachineBackupTracker."""
    metadata, status = found["metadata"], found.get("status") or {}
    annotations = metadata.get("annotations") or {}
    latest = status.get("latestCheckpoint") or {}
    return TrackerFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        vm=machine_of(found),
        latest=latest.get("name"),
        latest_disks=tuple(volume["volumeName"] for volume in latest.get("volumes") or []),
        redefining=bool(status.get("checkpointRedefinitionRequired")),
        committed=annotations.get(COMMITTED),
        committed_instance=annotations.get(COMMITTED_INSTANCE),
    )


def instance_facts(vmi: Manifest) -> InstanceFacts:
    """A VirtualMachineInstance, as far as backups depend on it."""
    status = vmi.get("status") or {}
    tracking = status.get("changedBlockTracking") or {}
    under_way = tracking.get("backupStatus") or {}
    return InstanceFacts(
        uid=vmi["metadata"]["uid"],
        running=status.get("phase") == "Running" and "deletionTimestamp" not in vmi["metadata"],
        tracking=str(tracking.get("state") or ""),
        backup_in_progress=None if under_way.get("completed") else under_way.get("backupName"),
    )


def machine_of(source_holder: Manifest) -> str:
    """The name that the source of a tracker, or of a backup, points at."""
    return str(source_holder["spec"]["source"]["name"])


def rivals(vm: str, own: str, backups: list[Manifest], trackers: list[Manifest]) -> tuple[str, ...]:
    """Other backups of the VM that have not ended, by whatever tracker."""
    of_vm = {tracker["metadata"]["name"] for tracker in trackers if machine_of(tracker) == vm}
    return tuple(
        backup["metadata"]["name"]
        for backup in backups
        if backup["metadata"]["name"] != own
        and machine_of(backup) in (of_vm if backup["spec"]["source"]["kind"] == TRACKER_KIND else {vm})
        and not any(_condition(backup.get("status") or {}, end).get("status") == "True" for end in _ENDS)
    )


def _state(status: Manifest, progress: Mapping[str, Any]) -> Literal["Waiting", "Ready", "Complete", "Failed"]:
    for end in _ENDS:
        if _condition(status, end).get("status") == "True":
            return end
    if progress.get("reason") == "Aborting":
        return "Complete"
    return "Ready" if _is_ready(progress) else "Waiting"


def _is_ready(progress: Mapping[str, Any]) -> bool:
    return progress.get("reason") == "ExportReady"


def _condition(status: Manifest, kind: str) -> Mapping[str, Any]:
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _served(export: Manifest | None) -> tuple[dict[str, ServedDisk], str]:
    links = (((export or {}).get("status") or {}).get("links") or {}).get("internal") or {}
    urls = {
        disk["name"]: {end["endpoint"]: end["url"] for end in disk["endpoints"]} for disk in links.get("backups") or []
    }
    served = {
        name: ServedDisk(map_url=ends["map"], data_url=ends["data"])
        for name, ends in urls.items()
        if {"map", "data"} <= ends.keys()
    }
    return served, str(links.get("cert") or "")
