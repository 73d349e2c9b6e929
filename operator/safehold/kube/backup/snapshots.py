"""Snapshots as the planner sees them: KubeVirt's of a VM, and the CSI driver's of each volume."""

from datetime import UTC, datetime
from typing import Any

from safehold.kube.backup.claims import observe_claim
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM_SNAPSHOT, VM_SNAPSHOT_CONTENT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.kube.machine_state import own_state_of
from safehold.kube.virtualmachines import claims_of, memory_dumps_of
from safehold.plan.backup.capture_facts import (
    CapturedVolume,
    CaptureFacts,
    ContentFacts,
    SnapshotFacts,
    VolumeSnapshotFacts,
)
from safehold.plan.machine_state import STATE_VOLUME, captured_name
from safehold.plan.quantities import parse_bytes


async def observe_snapshot(cluster: Cluster, namespace: str, name: str) -> SnapshotFacts | None:
    """A VirtualMachineSnapshot with what it captured; claims and contents only once it can be read."""
    found = await cluster.get(VM_SNAPSHOT, name, namespace)
    if found is None:
        return None
    status: Manifest = found.get("status") or {}
    capture = None
    if content := status.get("virtualMachineSnapshotContentName"):
        capture = await _observe_capture(cluster, namespace, content, ready=bool(status.get("readyToUse")))
    indications = status.get("indications") or [entry["indication"] for entry in status.get("sourceIndications") or []]
    return SnapshotFacts(
        name=name,
        uid=found["metadata"]["uid"],
        vm=found["spec"]["source"]["name"],
        created=moment(found["metadata"]["creationTimestamp"]),
        deleting="deletionTimestamp" in found["metadata"],
        succeeded=status.get("phase") == "Succeeded",
        ready=bool(status.get("readyToUse")),
        failure=_failure(status),
        error=_error(status),
        indications=tuple(indications),
        capture=capture,
    )


async def read_volume_snapshot(cluster: Cluster, name: str, namespace: str) -> VolumeSnapshotFacts | None:
    """A VolumeSnapshot, or None."""
    found = await cluster.get(VOLUME_SNAPSHOT, name, namespace)
    return None if found is None else volume_snapshot_facts(found)


async def read_content(cluster: Cluster, name: str) -> ContentFacts | None:
    """A VolumeSnapshotContent, or None."""
    found = await cluster.get(VOLUME_SNAPSHOT_CONTENT, name)
    return None if found is None else content_facts(found)


def volume_snapshot_facts(found: Manifest) -> VolumeSnapshotFacts:
    """What the planner needs of a VolumeSnapshot."""
    metadata, status = found["metadata"], found.get("status") or {}
    controllers = [owner["uid"] for owner in metadata.get("ownerReferences") or [] if owner.get("controller")]
    return VolumeSnapshotFacts(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        ready=bool(status.get("readyToUse")),
        deleting="deletionTimestamp" in metadata,
        content=status.get("boundVolumeSnapshotContentName"),
        claim=found["spec"]["source"].get("persistentVolumeClaimName"),
        owner_uid=controllers[0] if controllers else None,
        restore_size_bytes=parse_bytes(status.get("restoreSize") or 0),
        error=_error(status),
        created=moment(metadata["creationTimestamp"]),
    )


def content_facts(found: Manifest) -> ContentFacts:
    """What the planner needs of a VolumeSnapshotContent."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    named: Manifest = spec.get("volumeSnapshotRef") or {}
    return ContentFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        driver=spec["driver"],
        # A static content has the handle in its immutable spec, one made for a claim in its status.
        handle=spec["source"].get("snapshotHandle") or status.get("snapshotHandle"),
        policy=spec["deletionPolicy"],
        snapshot_namespace=named.get("namespace") or "",
        snapshot_name=named.get("name") or "",
        snapshot_uid=named.get("uid"),
        deleting="deletionTimestamp" in metadata,
        class_name=spec.get("volumeSnapshotClassName"),
        source_mode=spec.get("sourceVolumeMode"),
        source_volume_handle=spec["source"].get("volumeHandle"),
        restore_size_bytes=int(status.get("restoreSize") or 0),
        # In nanoseconds.
        cut_at=datetime.fromtimestamp(status["creationTime"] / 1e9, UTC) if status.get("creationTime") else None,
        error=_error(status),
        group_handle=status.get("volumeGroupSnapshotHandle"),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


def moment(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)


async def _observe_capture(cluster: Cluster, namespace: str, name: str, *, ready: bool) -> CaptureFacts | None:
    found = await cluster.get(VM_SNAPSHOT_CONTENT, name, namespace)
    if found is None:
        return None
    machine: Manifest = found["spec"]["source"]["virtualMachine"]
    cut = (found.get("status") or {}).get("creationTime")
    claims, dumps = claims_of(machine), memory_dumps_of(machine)
    backups = []
    for backup in found["spec"].get("volumeBackups") or []:
        if _is_state(backup, machine):
            # Without TPM or EFI state that volume holds only what KubeVirt needs to track changed blocks.
            if any(own_state_of(machine)):
                claims[STATE_VOLUME] = backup["persistentVolumeClaim"]["metadata"]["name"]
                backups.append({**backup, "volumeName": STATE_VOLUME})
        elif backup["volumeName"] not in dumps:
            backups.append(backup)
    volumes = [await _observe_volume(cluster, namespace, backup, ready=ready) for backup in backups]
    return CaptureFacts(
        uid=found["metadata"]["uid"],
        vm_uid=machine["metadata"].get("uid") or "",
        disks=claims,
        cut_time=moment(cut) if cut else None,
        volumes=tuple(sorted(volumes, key=lambda volume: volume.name)),
    )


def _is_state(backup: Manifest, machine: Manifest) -> bool:
    """Whether it is KubeVirt's hidden volume: none of the VM's own could be called so and not be in its spec."""
    name = backup["volumeName"]
    return bool(name == captured_name(machine["metadata"]["name"])) and name not in claims_of(machine)


async def _observe_volume(cluster: Cluster, namespace: str, backup: Manifest, *, ready: bool) -> CapturedVolume:
    claim = backup["persistentVolumeClaim"]["metadata"]
    snapshot_name = backup.get("volumeSnapshotName") or ""
    snapshot = await read_volume_snapshot(cluster, snapshot_name, namespace) if snapshot_name else None
    content = await read_content(cluster, snapshot.content) if ready and snapshot and snapshot.content else None
    return CapturedVolume(
        name=backup["volumeName"],
        claim_name=claim["name"],
        claim_uid=claim.get("uid") or "",
        snapshot_name=snapshot_name,
        claim=await observe_claim(cluster, namespace, claim["name"]) if ready else None,
        snapshot=snapshot,
        content=content,
    )


def _failure(status: Manifest) -> str | None:
    """KubeVirt writes the text for people into `reason`; only a Failure condition or phase is final."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "Failure" and condition["status"] == "True":
            return str(condition.get("reason") or condition.get("message") or "no reason given")
    return "no reason given" if status.get("phase") == "Failed" else None


def _error(status: dict[str, Any]) -> str:
    return str((status.get("error") or {}).get("message") or "")
