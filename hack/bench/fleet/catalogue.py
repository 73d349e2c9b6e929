"""Policies, and the finished VMBackups of earlier days that are kept of each VM: what every start of ours meets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bench.fleet.shape import NEVER, TARGET, VOLUME, Shape
from safehold.api.policy import BackupPolicy
from safehold.kube.kinds import BACKUP_POLICY, VM_BACKUP
from safehold.plan.policy.facts import SelectedVM, new_backup

Object = dict[str, Any]

_DURATION = timedelta(seconds=42)
_DISK_BYTES = 20 << 30


def policies(shape: Shape, created: datetime) -> Iterator[Object]:
    """As Git has them; none is due before the bench says so."""
    for namespace, group in shape.policy_places():
        yield {
            "apiVersion": BACKUP_POLICY.api_version,
            "kind": BACKUP_POLICY.kind,
            "metadata": _metadata(group, namespace, "policy", created) | {"generation": 1},
            "spec": {
                "schedule": NEVER,
                "selector": {"matchLabels": {"group": group}},
                "targetRef": {"kind": "ClusterBackupTarget", "name": TARGET},
            },
        }


def finished_backups(shape: Shape, created: datetime) -> Iterator[Object]:
    """Of each VM as many as the catalogue keeps: one a day, the last a day ago."""
    known = {
        (policy["metadata"]["namespace"], policy["metadata"]["name"]): BackupPolicy.model_validate(policy)
        for policy in policies(shape, created)
    }
    midnight = created.replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(shape.catalogue, 0, -1):
        run = midnight - timedelta(days=day)
        for namespace, name, group in shape.machines():
            yield _finished(known[namespace, group], SelectedVM(namespace=namespace, name=name, uid=""), run)


def _finished(policy: BackupPolicy, vm: SelectedVM, run: datetime) -> Object:
    backup = new_backup(policy, vm, run, "")
    metadata = _metadata(backup.name, vm.namespace, "backup", run) | {"labels": backup.labels, "generation": 1}
    return {
        "apiVersion": VM_BACKUP.api_version,
        "kind": VM_BACKUP.kind,
        "metadata": metadata,
        "spec": backup.spec,
        "status": _status(vm.name, metadata["uid"], run),
    }


def _status(vm: str, uid: str, run: datetime) -> Object:
    """What the controller writes about a run of a VM with one disk that went well."""
    done = f"{run + _DURATION:%FT%TZ}"
    said = f"restore point point-{uid} is complete, Application-consistent, and can be restored"
    moved = {"bytesTotal": _DISK_BYTES, "bytesRead": _DISK_BYTES, "bytesChanged": 0, "bytesUploaded": 0}
    states = {"Ready": "True", "Reconciling": "False", "Stalled": "False", "ConsistencyReached": "True"}
    return {
        "phase": "Completed",
        "observedGeneration": 1,
        "startTime": f"{run:%FT%TZ}",
        "captureTime": f"{run:%FT%TZ}",
        "completionTime": done,
        "restorePoint": f"point-{uid}",
        "vmUID": str(uuid5(NAMESPACE_URL, f"vm/{vm}")),
        "namespaceUID": str(uuid5(NAMESPACE_URL, "namespace")),
        "clusterID": str(uuid5(NAMESPACE_URL, "cluster")),
        "target": {"kind": "ClusterBackupTarget", "name": TARGET, "uid": uid, "repositoryID": "fleet-bench"},
        "engine": "Scan",
        "jobName": f"safehold-backup-{vm}-{uid}",
        "snapshotName": f"safehold-{vm}-{uid}",
        "snapshotUID": uid,
        "consistency": {"reached": "Application", "indications": ["Online", "GuestAgent"], "reason": "thawed in time"},
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": "Succeeded",
                "message": said,
                "lastTransitionTime": done,
                "observedGeneration": 1,
            }
            for kind, status in states.items()
        ],
        "volumes": [
            {
                "name": VOLUME,
                "claimName": vm,
                "claimUID": uid,
                "mode": "Block",
                "role": "Disk",
                "storageClassName": "sandbox",
                "accessModes": ["ReadWriteOnce"],
                "capacityBytes": _DISK_BYTES,
                "engine": "Scan",
                "seconds": 1,
                **moved,
            }
        ],
        "summary": {"total": "20.0 GiB", "read": "20.0 GiB", "changed": "0 B", "stored": "0 B", "duration": "42s"},
        **moved,
    }


def _metadata(name: str, namespace: str, kind: str, created: datetime) -> Object:
    uid = str(uuid5(NAMESPACE_URL, f"{kind}/{namespace}/{name}"))
    moment = created.astimezone(UTC)
    return {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": f"{moment:%FT%TZ}"}
