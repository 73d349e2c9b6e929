"""Changed blocks in the cluster: the drivers' services, the bases that runs kept, and what was verified when."""

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime

from safehold.api.vmbackup import VMBackup
from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import SNAPSHOT_METADATA_SERVICES, VM_BACKUP, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.plan.backup.changes_facts import BaseFacts, ChangesFacts, MetadataService, Verification
from safehold.plan.backup.steps import KeepBase
from safehold.plan.names import BASE_OF, MANAGED_BY, MANAGER, OWNER_UID, POLICY_UID, VM_UID, vm_label


async def observe_changes(cluster: Cluster, backup: VMBackup, *, operator_namespace: str) -> ChangesFacts:
    """All that the choice of an engine depends on, for a run whose handles are recorded."""
    engines = backup.spec.changed_blocks.engines
    verifications = await _verifications(cluster, backup) if set(engines) - {"Scan"} else {}
    if "CSI" not in engines:
        return ChangesFacts(verifications=verifications)
    block = {volume.name for volume in backup.status.volumes if volume.mode == "Block"}
    drivers = {handle.driver for handle in backup.status.handles if handle.volume in block}
    services = {driver: service for driver in sorted(drivers) if (service := await find_service(cluster, driver))}
    if not services:
        return ChangesFacts(verifications=verifications)
    claims = {volume.claim_uid for volume in backup.status.volumes}
    return ChangesFacts(
        services=services,
        bases=await list_bases(cluster, claims, operator_namespace=operator_namespace),
        verifications=verifications,
    )


async def find_service(cluster: Cluster, driver: str) -> MetadataService | None:
    """The service of a CSI driver, whose name its object has; of both versions, the later first."""
    for kind in SNAPSHOT_METADATA_SERVICES:
        try:
            found = await cluster.get(kind, driver)
        except NotServedError:
            continue
        if found is not None:
            spec = found["spec"]
            return MetadataService(
                address=spec["address"], audience=spec["audience"], authority=_decoded(spec.get("caCert") or "")
            )
    return None


async def list_bases(
    cluster: Cluster, claim_uids: Iterable[str] | None = None, *, operator_namespace: str
) -> tuple[BaseFacts, ...]:
    """The bases of these claims; without any, of all."""
    wanted = BASE_OF if claim_uids is None else f"{BASE_OF} in ({','.join(sorted(claim_uids))})"
    found = await cluster.list(VOLUME_SNAPSHOT_CONTENT, labels=f"{MANAGED_BY}={MANAGER},{wanted}")
    if not found:
        return ()
    # A pair has the labels of one run; thousands of other pairs are nobody's business here.
    owners = sorted({content["metadata"]["labels"].get(OWNER_UID, "") for content in found})
    theirs = f"{MANAGED_BY}={MANAGER}" if claim_uids is None else f"{OWNER_UID} in ({','.join(owners)})"
    snapshots = {
        item["metadata"]["name"] for item in await cluster.list(VOLUME_SNAPSHOT, operator_namespace, labels=theirs)
    }
    return tuple(_base(content, snapshots) for content in found)


async def keep_base(cluster: Cluster, step: KeepBase) -> None:
    """Mark the content and let it delete its handle, in one write: a base is never without its mark."""
    patch: Manifest = {
        "metadata": {"uid": step.uid, "labels": dict(step.labels)},
        "spec": {"deletionPolicy": "Delete"},
    }
    await cluster.merge_patch(VOLUME_SNAPSHOT_CONTENT, step.content, None, patch)


def _base(content: Manifest, snapshots: set[str]) -> BaseFacts:
    metadata = content["metadata"]
    labels = metadata["labels"]
    return BaseFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        claim_uid=labels[BASE_OF],
        vm_uid=labels.get(VM_UID, ""),
        policy_uid=labels.get(POLICY_UID),
        driver=content["spec"]["driver"],
        handle=content["spec"]["source"].get("snapshotHandle") or "",
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        has_snapshot=metadata["name"] in snapshots,
        deleting="deletionTimestamp" in metadata,
    )


async def _verifications(cluster: Cluster, backup: VMBackup) -> dict[str, Verification]:
    """By claim uid, what the VM's last completed backup says."""
    namespace, vm = backup.metadata.namespace or "", backup.spec.vm.name
    found = await cluster.list(VM_BACKUP, namespace, labels=vm_label(vm))
    known: dict[str, tuple[datetime, Verification]] = {}
    for earlier in (VMBackup.model_validate(item) for item in found):
        completed = earlier.status.completion_time
        if earlier.spec.vm.name != vm or completed is None or earlier.status.restore_point is None:
            continue
        for volume in earlier.status.volumes:
            at, _ = known.get(volume.claim_uid, (None, None))
            if volume.verified_time is not None and (at is None or at < completed):
                verification = Verification(verified=volume.verified_time, distrusted=volume.distrusted)
                known[volume.claim_uid] = completed, verification
    return {claim_uid: verification for claim_uid, (_, verification) in known.items()}


def _decoded(bundle: str) -> str:
    """The PEM text; empty for what is none, so that nobody is trusted."""
    try:
        return base64.b64decode(bundle, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
