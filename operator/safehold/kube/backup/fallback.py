"""Our own VolumeSnapshots of a VM's volumes, in the VM's namespace: what they can be made of, made, and seen."""

import asyncio

from safehold.api import API_VERSION
from safehold.api.fallback import FallbackCapture, FallbackVolume
from safehold.api.vmbackup import VMBackup
from safehold.kube.backup.claims import observe_claim
from safehold.kube.backup.group.observer import observe_offer
from safehold.kube.backup.snapshots import read_content, read_volume_snapshot
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM_BACKUP, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CLASS
from safehold.kube.storage_profiles import preferred_snapshot_classes
from safehold.plan.backup.capture_facts import CapturedVolume, CaptureFacts, SnapshotFacts
from safehold.plan.backup.facts import FallbackFacts, MachineFacts, SnapshotClassFacts
from safehold.plan.backup.steps import NewVolumeSnapshot, TakeVolumeSnapshots
from safehold.plan.names import own_snapshot_name

_DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"


async def observe_fallback(
    cluster: Cluster, namespace: str, machine: MachineFacts, *, groups_enabled: bool
) -> FallbackFacts:
    """The claims of the VM's disks, with which classes they can be cut, and what a group could be taken with."""
    claims = {
        disk.name: await observe_claim(cluster, namespace, disk.claim) if disk.claim else None for disk in machine.disks
    }
    classes = tuple(_class_facts(found) for found in await cluster.list(VOLUME_SNAPSHOT_CLASS))
    groups = await observe_offer(cluster, enabled=groups_enabled)
    storage_classes = {claim.storage_class for claim in claims.values() if claim and claim.storage_class}
    preferred = await preferred_snapshot_classes(cluster, storage_classes)
    return FallbackFacts(claims=claims, classes=classes, preferred_classes=preferred, groups=groups)


async def observe_own_capture(cluster: Cluster, backup: VMBackup, fallback: FallbackCapture) -> SnapshotFacts:
    """The recorded snapshots in the shape of KubeVirt's; the VMBackup stands in for what would own them there."""
    namespace, uid = backup.metadata.namespace or "", backup.metadata.uid
    volumes = [await _observe_volume(cluster, namespace, uid, volume) for volume in fallback.volumes]
    cuts = [volume.content.cut_at for volume in volumes if volume.content and volume.content.cut_at]
    return SnapshotFacts(
        name=backup.metadata.name,
        uid=uid,
        vm=backup.spec.vm.name,
        created=fallback.start_time,
        deleting=False,
        succeeded=len(cuts) == len(volumes),
        ready=all(volume.snapshot is not None and volume.snapshot.ready for volume in volumes),
        failure=None,
        error="; ".join(_errors(volumes)),
        indications=(),
        capture=CaptureFacts(
            uid=uid,
            vm_uid=backup.status.vm_uid or "",
            disks={volume.name: volume.claim_name for volume in fallback.volumes},
            cut_time=max(cuts) if cuts else None,
            volumes=tuple(sorted(volumes, key=lambda volume: volume.name)),
        ),
    )


async def take_volume_snapshots(cluster: Cluster, step: TakeVolumeSnapshots) -> None:
    """Ask for all cuts at the same moment; what an earlier try asked for already stays as it is."""
    asked = (cluster.create_if_absent(VOLUME_SNAPSHOT, _manifest(step, snapshot)) for snapshot in step.snapshots)
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


def _manifest(step: TakeVolumeSnapshots, snapshot: NewVolumeSnapshot) -> Manifest:
    owner = {"apiVersion": API_VERSION, "kind": VM_BACKUP.kind, "name": step.backup, "uid": step.backup_uid}
    return {
        "metadata": {
            "name": snapshot.name,
            "namespace": step.namespace,
            "labels": dict(step.labels),
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "source": {"persistentVolumeClaimName": snapshot.claim},
            "volumeSnapshotClassName": snapshot.class_name,
        },
    }


async def _observe_volume(cluster: Cluster, namespace: str, uid: str, volume: FallbackVolume) -> CapturedVolume:
    name = own_snapshot_name(uid, volume.name)
    snapshot = await read_volume_snapshot(cluster, name, namespace)
    return CapturedVolume(
        name=volume.name,
        claim_name=volume.claim_name,
        claim_uid=volume.claim_uid,
        snapshot_name=name,
        claim=await observe_claim(cluster, namespace, volume.claim_name),
        snapshot=snapshot,
        content=await read_content(cluster, snapshot.content) if snapshot and snapshot.content else None,
    )


def _errors(volumes: list[CapturedVolume]) -> list[str]:
    return [
        f"{volume.name}: {volume.snapshot.error}" for volume in volumes if volume.snapshot and volume.snapshot.error
    ]


def _class_facts(found: Manifest) -> SnapshotClassFacts:
    metadata = found["metadata"]
    default = (metadata.get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return SnapshotClassFacts(name=metadata["name"], driver=found["driver"], default=default)
