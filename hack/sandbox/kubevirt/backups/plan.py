"""The backup controller's next step, in the order of writes that was recorded from KubeVirt.

Every abort of a pull counts as success and advances the tracker: that of a deleted backup, and that of one whose time
is up, although nobody may have read anything. A push that is aborted has failed and leaves the tracker alone.
Not recorded, and after the code's own words: what is said about a missing VM, tracker or claim, and about a guest that
ends meanwhile. A second backup of a VM through another source waits here; KubeVirt may mix the two up.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import controller_reference, controller_uid, finalizers_of
from sandbox.kubevirt.backups import statuses, steps
from sandbox.kubevirt.backups.observed import Observed
from sandbox.kubevirt.durations import format_duration
from sandbox.kubevirt.machines.block_tracking import ENABLED, tracking_state
from sandbox.kubevirt.names import BACKUP_FINALIZER
from sandbox.kubevirt.stepping import Wait

_OTHER_BACKUP_SECONDS = 1.0


def next_step(observed: Observed, now: datetime) -> steps.Step:
    """One step towards the backup's outcome. Repeating it with the same facts is harmless."""
    if observed.done:
        leaving = observed.deleting and BACKUP_FINALIZER in finalizers_of(observed.backup)
        return steps.RemoveFinalizer() if leaving else Wait()
    if observed.initializing:
        return _deleted_early(observed, now) if observed.deleting else _initiation(observed, now)
    if observed.vmi is None:
        return steps.Finish(*statuses.failed(observed, "SourceLost", "VMI was deleted during backup", timestamp(now)))
    if observed.job is None:
        lost = statuses.failed(observed, "SourceLost", "VMI backup status was lost", timestamp(now))
        return _cleanup(observed) or steps.Finish(*lost)
    if not observed.runs:
        ended = statuses.failed(observed, "SourceUnhealthy", "VMI is not in a running state", timestamp(now))
        return _cleanup(observed) or steps.Finish(*ended)
    return _progress(observed, observed.job, now)


def _initiation(observed: Observed, now: datetime) -> steps.Step:
    obstacle = _obstacle(observed)
    if obstacle:
        wanted = statuses.progressing(observed.status, "Initializing", obstacle, timestamp(now))
        return steps.WriteStatus(wanted) if wanted != observed.status else Wait()
    if BACKUP_FINALIZER not in finalizers_of(observed.backup):
        return steps.AddFinalizer()
    if not observed.attached:
        return steps.AttachClaim()
    if "status" not in observed.backup:
        return steps.WriteStatus({})
    if observed.attachment != "MountedToPod":
        return Wait()
    if observed.job is not None and observed.job["backupName"] != observed.name:
        return Wait(_OTHER_BACKUP_SECONDS)
    return steps.StartJob(observed.base, statuses.initiated(observed, observed.base, timestamp(now)))


def _obstacle(observed: Observed) -> str | None:
    name, namespace = observed.machine_name, observed.backup["metadata"]["namespace"]
    if name is None:
        return f"BackupTracker {observed.backup['spec']['source']['name']} does not exist"
    if observed.vm is None:
        return f"VM {namespace}/{name} doesnt exist"
    if not observed.runs:
        return f"vm {name} is not running, cannot do backup"
    if not observed.has_volumes:
        return f"vm {name} has no volumes to backup"
    if tracking_state(observed.vmi) != ENABLED:
        return f"vm {name} has no ChangedBlockTracking, cannot start backup"
    if ((observed.tracker or {}).get("status") or {}).get("checkpointRedefinitionRequired"):
        return f"Waiting for checkpoint redefinition on tracker {observed.backup['spec']['source']['name']}"
    if observed.claim is None:
        return f"PVC {namespace}/{observed.backup['spec']['pvcName']} doesnt exist"
    return None


def _deleted_early(observed: Observed, now: datetime) -> steps.Step:
    if BACKUP_FINALIZER not in finalizers_of(observed.backup):
        return Wait()
    if observed.vmi is None:
        return steps.RemoveFinalizer()
    problem = "backup was deleted during initialization"
    gone = statuses.failed(observed, "DeletedDuringInit", problem, timestamp(now))
    return _cleanup(observed) or steps.Finish(*gone)


def _progress(observed: Observed, job: Object, now: datetime) -> steps.Step:
    if job.get("completed"):
        return _completion(observed, job, now)
    if job.get("volumes") and not observed.status.get("includedVolumes"):
        return steps.WriteStatus(statuses.taken(observed, job, timestamp(now)))
    if observed.progress == "Aborting":
        return Wait()
    if observed.deleting or (observed.pull and now >= observed.expires()):
        aborting = statuses.progressing(observed.status, "Aborting", statuses.ABORTING, timestamp(now))
        return steps.AbortJob(aborting)
    return _pull(observed, now) if observed.pull else Wait()


def _pull(observed: Observed, now: datetime) -> steps.Step:
    left = (observed.expires() - now).total_seconds()
    if observed.export is None:
        return steps.CreateExport(_export_of(observed, left))
    if controller_uid(observed.export) != observed.backup["metadata"]["uid"]:
        return steps.Fail(f"VMExport {observed.name} already exists but is not owned by backup {observed.name}")
    if observed.progress == "Initiated":
        preparing = statuses.progressing(observed.status, "PreparingExport", statuses.PREPARING_EXPORT, timestamp(now))
        return steps.WriteStatus(preparing)
    wanted = observed.status | {"exportUID": observed.export["metadata"]["uid"]}
    links = ((observed.export.get("status") or {}).get("links") or {}).get("internal") or {}
    if links.get("backups") and wanted.get("includedVolumes"):
        wanted = statuses.export_ready(wanted, links, timestamp(now))
    return steps.WriteStatus(wanted) if wanted != observed.status else Wait(left)


def _export_of(observed: Observed, left_seconds: float) -> Object:
    source = {"apiGroup": "backup.kubevirt.io", "kind": "VirtualMachineBackup", "name": observed.name}
    return {
        "metadata": {
            "name": observed.name,
            "namespace": observed.backup["metadata"]["namespace"],
            "ownerReferences": [controller_reference(observed.backup)],
        },
        "spec": {
            "source": source,
            "tokenSecretRef": observed.backup["spec"]["tokenSecretRef"],
            "ttlDuration": format_duration(left_seconds),
        },
    }


def _completion(observed: Observed, job: Object, now: datetime) -> steps.Step:
    if observed.tracker is not None and not job.get("failed"):
        checkpoint = {"name": job["checkpointName"], "creationTime": job["startTimestamp"], "volumes": job["volumes"]}
        if ((observed.tracker.get("status") or {}).get("latestCheckpoint") or {}) != checkpoint:
            return steps.AdvanceTracker(checkpoint)
    return _cleanup(observed) or steps.Finish(*statuses.finished(observed, job, timestamp(now)))


def _cleanup(observed: Observed) -> steps.Step | None:
    """The export, then the claim, one after the other; None when both are gone."""
    if observed.pull and observed.export is not None and "deletionTimestamp" not in observed.export["metadata"]:
        return steps.DeleteExport()
    if observed.attached:
        return steps.DetachClaim()
    # A guest that has ended unplugs nothing any more.
    return Wait() if observed.attachment is not None and observed.runs else None
