"""Snapshots around a restore: the safety snapshot of the stopped VM, and those that new volumes are made from."""

from typing import assert_never

from safehold.api import VMRestore
from safehold.api.capture import SnapshotHandle
from safehold.api.restored_volumes import VolumeRestore
from safehold.errors import NotServedError
from safehold.kube.backup.pairs import create_pair
from safehold.kube.backup.snapshots import observe_snapshot, read_content, read_volume_snapshot
from safehold.kube.client import Cluster
from safehold.kube.kinds import STORAGE_CLASS, VM, VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.steps import CreatePair
from safehold.plan.backup.trust import trusted_handle
from safehold.plan.names import BASE_OF, MANAGED_BY, MANAGER, OWNER_UID, pair_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import OwnSnapshot, Ways
from safehold.plan.restore.steps import DeleteSafetySnapshot, MakePair, RemovePair, TakeSafetySnapshot
from safehold.reasons import Reason


async def carry_out_snapshot_step(
    cluster: Cluster,
    step: TakeSafetySnapshot | DeleteSafetySnapshot | MakePair | RemovePair,
    *,
    namespace: str,
    operator_namespace: str,
) -> None:
    """Do one step, with the operator's rights; it may have been done before."""
    match step:
        case TakeSafetySnapshot():
            metadata = {"name": step.name, "namespace": namespace}
            marks = {"labels": dict(step.labels), "annotations": dict(step.annotations)}
            spec = {
                "source": {"apiGroup": VM.group, "kind": VM.kind, "name": step.vm},
                "failureDeadline": f"{step.deadline_seconds}s",
            }
            await cluster.create_if_absent(VM_SNAPSHOT, {"metadata": {**metadata, **marks}, "spec": spec})
        case DeleteSafetySnapshot(name, uid):
            await cluster.delete(VM_SNAPSHOT, name, namespace, uid=uid)
        case MakePair(handle, labels):
            pair = CreatePair(handle=handle, labels=labels, annotations={})
            await create_pair(cluster, pair, namespace=operator_namespace)
        case RemovePair(name):
            # The content says Retain, so that neither takes the driver's snapshot with it.
            await cluster.delete(VOLUME_SNAPSHOT, name, operator_namespace)
            await cluster.delete(VOLUME_SNAPSHOT_CONTENT, name)
        case _:
            assert_never(step)


async def observe_safety(cluster: Cluster, restore: VMRestore) -> SnapshotFacts | None:
    """The recorded safety snapshot, if it is there and is the recorded one."""
    recorded = restore.status.safety_snapshot
    if recorded is None:
        return None
    try:
        found = await observe_snapshot(cluster, restore.metadata.namespace or "", recorded.name)
    except NotServedError:
        return None
    return found if found is not None and recorded.uid in (None, found.uid) else None


async def observe_ways(
    cluster: Cluster, restore: VMRestore, safety: SnapshotFacts | None, *, operator_namespace: str
) -> dict[str, Ways]:
    """What each volume can be made from: all of it until that is chosen, then only what was made for it."""
    ways: dict[str, Ways] = {}
    # Also a volume that is fetched after all may have a pair, which was made before that was decided.
    safety_taken = restore.status.safety_snapshot is not None and restore.status.safety_snapshot.phase == "Taken"
    for record in restore.status.volumes:
        if record.path != "Snapshot" and (record.path is None or safety_taken):
            ways[record.name] = await _observe(cluster, restore, record, safety, operator_namespace)
    return ways


async def _observe(
    cluster: Cluster,
    restore: VMRestore,
    record: VolumeRestore,
    safety: SnapshotFacts | None,
    operator_namespace: str,
) -> Ways:
    handle = _safety_handle(restore, record, safety)
    pair = pair_name(restore.metadata.uid, record.name)
    if record.path is None:
        name = record.storage_class_name
        found = await cluster.get(STORAGE_CLASS, name) if name else None
        own = await _own_snapshot(cluster, restore, record, operator_namespace)
        return Ways(driver=found["provisioner"] if found else None, own=own, safety=handle)
    content = await read_content(cluster, pair)
    snapshot = await read_volume_snapshot(cluster, pair, operator_namespace)
    return Ways(
        safety=handle,
        has_pair=content is not None or snapshot is not None,
        pair_since=snapshot.created if content is not None and snapshot is not None else None,
        pair_ready=snapshot is not None and snapshot.ready and not snapshot.deleting,
        pair_error=(snapshot.error if snapshot else "") or (content.error if content else ""),
    )


async def _own_snapshot(
    cluster: Cluster, restore: VMRestore, record: VolumeRestore, operator_namespace: str
) -> OwnSnapshot | None:
    """The base that the point's run kept. Its content, which only the operator writes, proves whose it is."""
    backup = restore.status.backup
    if backup is None:
        return None
    name = pair_name(backup.uid, record.name)
    try:
        content = await read_content(cluster, name)
        snapshot = await read_volume_snapshot(cluster, name, operator_namespace)
    except NotServedError:
        return None
    if content is None or snapshot is None or not snapshot.ready or snapshot.deleting or content.deleting:
        return None
    labels = content.labels
    if labels.get(MANAGED_BY) != MANAGER or labels.get(OWNER_UID) != backup.uid or BASE_OF not in labels:
        return None
    size = max(content.restore_size_bytes, snapshot.restore_size_bytes)
    return OwnSnapshot(name=name, driver=content.driver, restore_size_bytes=size, mode=content.source_mode)


def _safety_handle(
    restore: VMRestore, record: VolumeRestore, safety: SnapshotFacts | None
) -> SnapshotHandle | Refusal | None:
    """The volume in the safety snapshot: of this VM, of its present claim, and its objects name each other."""
    vm = restore.status.vm
    if safety is None or not safety.ready or safety.capture is None or vm is None:
        return None
    captured = next((volume for volume in safety.capture.volumes if volume.name == record.name), None)
    if captured is None:
        return None
    if safety.capture.vm_uid != vm.uid or captured.claim_name != record.claim_name:
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, "the safety snapshot is of another VM or claim")
    return trusted_handle(
        captured,
        capture_uid=safety.capture.uid,
        namespace=restore.metadata.namespace or "",
        backup_uid=restore.metadata.uid,
    )
