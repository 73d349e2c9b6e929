"""Our own way to a snapshot of another namespace: a static content and snapshot for the same handle, and a claim.

The recorded facts: the controller fills only `volumeSnapshotRef.uid`; a content's mode is checked against a claim's
only where `sourceVolumeMode` is set, so it is copied; a content without a snapshot goes at once, whatever its policy.
"""

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.plan.backup.steps import CreateClone, CreatePair, RebindPair


async def create_pair(cluster: Cluster, step: CreatePair, *, namespace: str) -> None:
    """Create content and snapshot; they bind to each other by name."""
    handle = step.handle
    name, labels = handle.pair_name, dict(step.labels)
    classed = {"volumeSnapshotClassName": handle.class_name} if handle.class_name else {}
    mode = {"sourceVolumeMode": handle.source_volume_mode} if handle.source_volume_mode else {}
    content: Manifest = {
        "metadata": {"name": name, "labels": labels, "annotations": dict(step.annotations)},
        "spec": {
            "driver": handle.driver,
            "deletionPolicy": "Retain",
            "source": {"snapshotHandle": handle.snapshot_handle},
            "volumeSnapshotRef": {"namespace": namespace, "name": name},
            **classed,
            **mode,
        },
    }
    snapshot: Manifest = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"source": {"volumeSnapshotContentName": name}, **classed},
    }
    await cluster.create_if_absent(VOLUME_SNAPSHOT_CONTENT, content)
    await cluster.create_if_absent(VOLUME_SNAPSHOT, snapshot)


async def rebind_pair(cluster: Cluster, step: RebindPair) -> None:
    """Forget the uid of a snapshot that was lost; the controller fills in the present one's."""
    patch = {"metadata": {"resourceVersion": step.resource_version}, "spec": {"volumeSnapshotRef": {"uid": None}}}
    await cluster.merge_patch(VOLUME_SNAPSHOT_CONTENT, step.content, None, patch)


async def create_clone(cluster: Cluster, step: CreateClone, *, namespace: str) -> None:
    """Create the claim that the worker reads."""
    claim: Manifest = {
        "metadata": {"name": step.name, "namespace": namespace, "labels": dict(step.labels)},
        "spec": {
            "accessModes": list(step.access_modes),
            "volumeMode": step.mode,
            "resources": {"requests": {"storage": str(step.size_bytes)}},
            "dataSource": {
                "apiGroup": VOLUME_SNAPSHOT.group,
                "kind": VOLUME_SNAPSHOT.kind,
                "name": step.pair,
            },
            **({"storageClassName": step.storage_class} if step.storage_class is not None else {}),
        },
    }
    await cluster.create_if_absent(CLAIM, claim)
