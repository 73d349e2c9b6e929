"""What a capture by KubeVirt's own backup writes into the VM's namespace. Every step may find that it was done."""

import base64
import secrets

from safehold.errors import NotFoundError
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.pull.wording import COMMITTED, COMMITTED_INSTANCE, TRACKER_KIND
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, SECRET, VM, VM_PULL_BACKUP, VM_TRACKER
from safehold.plan.backup.pull.steps import CommitCheckpoint, StartPull
from safehold.plan.names import MANAGED_BY, MANAGER, OWNER_UID, label_value
from safehold.plan.names import VM as VM_LABEL

_TOKEN_KEY = "token"  # noqa: S105 (the key that KubeVirt looks for)
_TOKEN_BYTES = 32


async def start_pull(cluster: Cluster, freezes: FreezeWatches, step: StartPull) -> None:
    """Make what the backup needs, begin to watch the guest's freeze, and create the backup."""
    await cluster.create_if_absent(VM_TRACKER, _tracker(step))
    scratch = await cluster.create_if_absent(CLAIM, _scratch(step))
    await cluster.create_if_absent(SECRET, _token(step, scratch["metadata"]["uid"]))
    await freezes.start(step.labels[OWNER_UID], step.namespace, step.vm, seconds=step.watch_seconds)
    await cluster.create_if_absent(VM_PULL_BACKUP, _backup(step))


async def commit_checkpoint(cluster: Cluster, step: CommitCheckpoint) -> None:
    """Write the checkpoint on that very tracker."""
    annotations = {COMMITTED: step.checkpoint, COMMITTED_INSTANCE: step.instance_uid}
    patch: Manifest = {"metadata": {"uid": step.tracker_uid, "annotations": annotations}}
    await cluster.merge_patch(VM_TRACKER, step.tracker, step.namespace, patch)


async def read_token(cluster: Cluster, namespace: str, secret: str) -> bytes:
    """The token of a backup; NotFoundError if somebody took it away."""
    found = await cluster.read(SECRET, secret, namespace)
    if _TOKEN_KEY not in (found.get("data") or {}):
        raise NotFoundError(f"the Secret {namespace}/{secret} has no key {_TOKEN_KEY} any more")
    return base64.b64decode(found["data"][_TOKEN_KEY])


def _tracker(step: StartPull) -> Manifest:
    """It belongs to the VM, not to the run: with the VM it goes, and what it knows of the VM's blocks."""
    owner = {"apiVersion": VM.api_version, "kind": VM.kind, "name": step.vm, "uid": step.vm_uid}
    return {
        "metadata": {
            "name": step.tracker,
            "namespace": step.namespace,
            "labels": {MANAGED_BY: MANAGER, VM_LABEL: label_value(step.vm)},
            "ownerReferences": [owner],
        },
        "spec": {"source": {"apiGroup": VM.group, "kind": VM.kind, "name": step.vm}},
    }


def _scratch(step: StartPull) -> Manifest:
    classed = {"storageClassName": step.scratch_storage_class} if step.scratch_storage_class else {}
    return {
        "metadata": {"name": step.name, "namespace": step.namespace, "labels": dict(step.labels)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": str(step.scratch_bytes)}},
            **classed,
        },
    }


def _token(step: StartPull, scratch_uid: str) -> Manifest:
    """The scratch claim owns it, so that one never outlives the other."""
    token = secrets.token_urlsafe(_TOKEN_BYTES).encode()
    owner = {"apiVersion": CLAIM.api_version, "kind": CLAIM.kind, "name": step.name, "uid": scratch_uid}
    return {
        "metadata": {
            "name": step.name,
            "namespace": step.namespace,
            "labels": dict(step.labels),
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "data": {_TOKEN_KEY: base64.b64encode(token).decode()},
    }


def _backup(step: StartPull) -> Manifest:
    return {
        "metadata": {"name": step.name, "namespace": step.namespace, "labels": dict(step.labels)},
        "spec": {
            "source": {"apiGroup": VM_TRACKER.group, "kind": TRACKER_KIND, "name": step.tracker},
            "mode": "Pull",
            "pvcName": step.name,
            "tokenSecretRef": step.name,
            "ttlDuration": f"{step.ttl_seconds}s",
            "forceFullBackup": step.force_full,
        },
    }
