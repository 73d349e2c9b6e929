"""Which volumes of a VM are disks on claims, and which of those can be snapshotted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import annotations_of

_DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
_SOURCE_NAMES = {"cloudInitNoCloud": "cloudinit", "cloudInitConfigDrive": "cloudinit"}
"""How KubeVirt's status calls a volume source where that differs from the field's name."""


def template_volumes(vm: Object) -> Objects:
    """The volumes of a VM's template."""
    return list(vm["spec"].get("template", {}).get("spec", {}).get("volumes") or [])


def claim_name(volume: Object) -> str | None:
    """The claim behind a volume; None for volumes that are no disks on claims (cloud-init, container disks, …)."""
    for source, field in (("persistentVolumeClaim", "claimName"), ("dataVolume", "name"), ("memoryDump", "claimName")):
        if source in volume:
            return str(volume[source][field])
    return None


def is_hotpluggable(volume: Object) -> bool:
    """True for a disk that was added with `addvolume`."""
    sources = (volume.get(source) or {} for source in ("persistentVolumeClaim", "dataVolume"))
    return any(source.get("hotpluggable") for source in sources)


def claim_names(volumes: Objects) -> dict[str, str]:
    """Volume name → claim name, in the order of the volumes."""
    return {volume["name"]: claim for volume in volumes if (claim := claim_name(volume))}


def snapshot_class(
    claim: Object, storage_class: Object | None, snapshot_classes: Objects, profile: Object | None
) -> str | None:
    """The VolumeSnapshotClass for a claim: the one of CDI's profile, else its provisioner's only or default one."""
    if storage_class is None or not claim["spec"].get("storageClassName"):
        return None
    if preferred := ((profile or {}).get("status") or {}).get("snapshotClass"):
        return str(preferred)
    fitting = [item for item in snapshot_classes if item["driver"] == storage_class["provisioner"]]
    if len(fitting) > 1:
        fitting = [item for item in fitting if annotations_of(item).get(_DEFAULT_SNAPSHOT_CLASS) == "true"]
    return str(fitting[0]["metadata"]["name"]) if len(fitting) == 1 else None


def volume_snapshot_statuses(
    volumes: Objects, claims: Mapping[str, Object], class_of: Callable[[Object], str | None]
) -> Objects:
    """VirtualMachine.status.volumeSnapshotStatuses: which volumes a snapshot would hold, and why not the others."""
    statuses: Objects = []
    for volume in volumes:
        reason = _refusal(volume, claims, class_of)
        status = {"name": volume["name"], "enabled": reason is None}
        statuses.append(status | ({"reason": reason} if reason else {}))
    return statuses


def _refusal(volume: Object, claims: Mapping[str, Object], class_of: Callable[[Object], str | None]) -> str | None:
    name = claim_name(volume)
    if name is None:
        source = next((field for field in volume if field != "name"), "unknown")
        return f"Snapshot is not supported for this volumeSource type [{_SOURCE_NAMES.get(source, source)}]"
    claim = claims.get(name)
    if claim is None:
        return "PVC not found"
    if class_of(claim) is None:
        storage_class = claim["spec"].get("storageClassName")
        problem = "Volume snapshots are not configured for this StorageClass"
        return f"No VolumeSnapshotClass: {problem} [{storage_class}] [{volume['name']}]"
    return None
