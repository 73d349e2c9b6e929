"""VirtualMachineBackup.status, in the words that were recorded.

Not recorded: the messages of a freeze that failed or was skipped, and of a completion with a warning.
"""

from __future__ import annotations

import copy

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.backups.observed import Observed
from sandbox.kubevirt.conditions import with_meta_condition

IN_PROGRESS = "Backup is in progress"
PREPARING_EXPORT = "Backup export is being initialized"
EXPORT_READY = "Backup export is ready to pull"
ABORTING = "Backup is aborting"
COMPLETED = "Successfully completed VirtualMachineBackup"
_QUIESCED = {
    "Succeeded": ("True", "QuiesceSucceeded", "Guest filesystem was successfully quiesced"),
    "Failed": ("False", "QuiesceFailed", "Guest filesystem could not be quiesced"),
    "Skipped": ("False", "QuiesceSkipped", "Guest filesystem quiesce was skipped"),
}


def progressing(status: Object, reason: str, message: str, now: str) -> Object:
    """The status with another word about its progress."""
    return _with(status, ("Progressing", "True", reason, message), now=now)


def initiated(observed: Observed, base: str | None, now: str) -> Object:
    """The job has started."""
    status = progressing(observed.status, "Initiated", IN_PROGRESS, now)
    return {**status, "type": "Incremental" if base else "Full"}


def taken(observed: Observed, job: Object, now: str) -> Object:
    """The point in time is taken: which volumes, under which checkpoint, and how the freeze went."""
    kind, reason, message = _QUIESCED[job["quiesceStatus"]]
    status = _with(observed.status, ("Quiesced", kind, reason, message), now=now)
    return {**status, "checkpointName": job["checkpointName"], "includedVolumes": job["volumes"]}


def export_ready(status: Object, links: Object, now: str) -> Object:
    """The endpoints of a pull, from the links of its export."""
    urls = {
        item["name"]: {end["endpoint"]: end["url"] for end in item["endpoints"]} for item in links.get("backups") or []
    }
    volumes: Objects = [
        {
            **volume,
            "dataEndpoint": urls[volume["volumeName"]]["data"],
            "mapEndpoint": urls[volume["volumeName"]]["map"],
        }
        for volume in status["includedVolumes"]
    ]
    served = {**status, "endpointCert": links["cert"], "includedVolumes": volumes}
    return progressing(served, "ExportReady", EXPORT_READY, now)


def finished(observed: Observed, job: Object, now: str) -> tuple[Object, tuple[str, str, str]]:
    """The outcome of a job that has ended, and its event. Endpoints are gone with their export.

    A job may end before anybody has seen its point in time.
    """
    if job.get("failed"):
        return failed(observed, "Failed", str(job.get("backupMsg") or "unknown, no completion message"), now)
    reason, message = "Completed", COMPLETED
    event = ("Normal", "VirtualMachineBackupCompletedSuccessfully", message)
    if job.get("backupMsg"):
        reason, message = "CompletedWithWarning", f"Completed VirtualMachineBackup, warning: {job['backupMsg']}"
        event = ("Warning", "VirtualMachineBackupCompletedWithWarning", message)
    return _with(
        taken(observed, job, now),
        ("Progressing", "False", reason, message),
        ("Complete", "True", reason, message),
        now=now,
    ), event


def failed(observed: Observed, reason: str, problem: str, now: str) -> tuple[Object, tuple[str, str, str]]:
    """The end without a backup, and its event."""
    message = f"Backup has failed: {problem}"
    status = _with(
        observed.status, ("Progressing", "False", reason, message), ("Failed", "True", reason, message), now=now
    )
    return status, ("Warning", "VirtualMachineBackupFailed", problem)


def _with(status: Object, *words: tuple[str, str, str, str], now: str) -> Object:
    """The status with conditions of (type, status, reason, message)."""
    changed = copy.deepcopy(status)
    for kind, value, reason, message in words:
        condition = {"type": kind, "status": value, "reason": reason, "message": message}
        changed["conditions"] = with_meta_condition(changed.get("conditions") or [], condition, now)
    return changed
