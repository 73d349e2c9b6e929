"""Claims and persistent volumes, read into what planners see and written from what they decide."""

from datetime import datetime
from typing import Any

from safehold.api.restored_volumes import OwnerRecord, VolumeRestore
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, VOLUME, VOLUME_SNAPSHOT
from safehold.plan.quantities import parse_bytes
from safehold.plan.restore.look import Mark
from safehold.plan.restore.volumes.handover import SeenVolume
from safehold.plan.storage import Claim, ClaimRef, ClaimShape, NewClaim, Volume


async def observe_claim(cluster: Cluster, namespace: str, name: str) -> Claim | None:
    """A claim by its name."""
    found = await cluster.get(CLAIM, name, namespace)
    return None if found is None else claim_from(found)


async def observe_volume(cluster: Cluster, name: str | None) -> Volume | None:
    """A persistent volume by its name."""
    found = await cluster.get(VOLUME, name) if name else None
    return None if found is None else volume_from(found)


async def observe_handover(
    cluster: Cluster, record: VolumeRestore, *, operator_namespace: str, namespace: str
) -> SeenVolume:
    """Claims and volumes around one recorded volume of a restore into `namespace`."""
    prime = await observe_claim(cluster, operator_namespace, record.prime_claim)
    claim = await observe_claim(cluster, namespace, record.claim_name)
    old = record.old_persistent_volume
    if record.step == Mark.VERIFIED and claim is not None:
        old = claim.volume
    return SeenVolume(
        prime=prime,
        volume=await observe_volume(cluster, record.persistent_volume or (prime.volume if prime else None)),
        claim=claim,
        old=await observe_volume(cluster, old),
    )


def claim_from(manifest: Manifest) -> Claim:
    """What the planner needs of a claim."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    return Claim(
        ref=ClaimRef(metadata["namespace"], metadata["name"], metadata["uid"]),
        shape=_shape(spec, spec["resources"]["requests"]["storage"]),
        phase=(manifest.get("status") or {}).get("phase") or "Pending",
        volume=spec.get("volumeName") or None,
        deleting="deletionTimestamp" in metadata,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        owners=tuple(OwnerRecord.model_validate(owner) for owner in metadata.get("ownerReferences") or ()),
        snapshot=(spec.get("dataSource") or {}).get("name"),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
    )


def volume_from(manifest: Manifest) -> Volume:
    """What the planner needs of a persistent volume."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    holder = spec.get("claimRef")
    return Volume(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        shape=_shape(spec, spec["capacity"]["storage"]),
        phase=(manifest.get("status") or {}).get("phase") or "Pending",
        reclaim_policy=spec.get("persistentVolumeReclaimPolicy") or "Retain",
        claim=ClaimRef(holder["namespace"], holder["name"], holder.get("uid") or "") if holder else None,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        node_affinity=(spec.get("nodeAffinity") or {}).get("required"),
    )


def claim_manifest(claim: NewClaim) -> Manifest:
    """The claim to create."""
    metadata: dict[str, Any] = {"name": claim.name, "namespace": claim.namespace, "labels": dict(claim.labels)}
    if claim.annotations:
        metadata["annotations"] = dict(claim.annotations)
    if claim.owners:
        metadata["ownerReferences"] = [owner.to_wire() for owner in claim.owners]
    spec: dict[str, Any] = {
        "accessModes": list(claim.shape.access_modes),
        "resources": {"requests": {"storage": str(claim.shape.size_bytes)}},
        "storageClassName": claim.shape.storage_class,
        "volumeMode": claim.shape.mode,
    }
    if claim.volume:
        spec["volumeName"] = claim.volume
    if claim.snapshot:
        kind = VOLUME_SNAPSHOT
        spec["dataSource"] = {"apiGroup": kind.group, "kind": kind.kind, "name": claim.snapshot}
    return {"metadata": metadata, "spec": spec}


def _shape(spec: Manifest, size: str) -> ClaimShape:
    return ClaimShape(
        storage_class=spec.get("storageClassName"),
        mode=spec.get("volumeMode") or "Filesystem",
        access_modes=tuple(spec.get("accessModes") or ()),
        size_bytes=parse_bytes(size),
    )
