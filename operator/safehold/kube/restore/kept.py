"""What restores kept beyond the life of their VMRestore: it goes when its time is over, as it says itself."""

import logging
from datetime import datetime

from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM_RESTORE, VM_SNAPSHOT, VOLUME, Kind
from safehold.plan.names import KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY, UNDO_OF
from safehold.plan.restore.undo.keeping import is_overdue

logger = logging.getLogger(__name__)


async def remove_overdue(cluster: Cluster, now: datetime) -> None:
    """Remove kept volumes and safety snapshots whose time is over and whose VMRestore is gone.

    A volume gets the reclaim policy back that it had, and so goes where that says Delete.
    """
    # In this order: what is listed first belongs to a VMRestore that was created before.
    snapshots, volumes = await _kept(cluster, VM_SNAPSHOT), await _kept(cluster, VOLUME)
    if not snapshots and not volumes:
        return
    living = {
        found["metadata"]["uid"] async for page in cluster.pages(VM_RESTORE, metadata_only=True) for found in page.items
    }
    for found in snapshots:
        if _is_overdue(found, living, now):
            metadata = found["metadata"]
            logger.info(
                "removes VirtualMachineSnapshot %s/%s: its time is over", metadata["namespace"], metadata["name"]
            )
            await cluster.delete(VM_SNAPSHOT, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    for found in volumes:
        if _is_overdue(found, living, now):
            await _give_up(cluster, found)


async def _kept(cluster: Cluster, kind: Kind) -> list[Manifest]:
    try:
        return await cluster.list(kind, labels=UNDO_OF)
    except NotServedError:
        return []


def _is_overdue(found: Manifest, living: set[str], now: datetime) -> bool:
    metadata = found["metadata"]
    return metadata["labels"][UNDO_OF] not in living and is_overdue(metadata.get("annotations") or {}, now)


async def _give_up(cluster: Cluster, volume: Manifest) -> None:
    metadata = volume["metadata"]
    policy = metadata["annotations"].get(ORIGINAL_RECLAIM_POLICY) or "Retain"
    logger.info("gives up PersistentVolume %s with policy %s: its time is over", metadata["name"], policy)
    marks = {"labels": {UNDO_OF: None}, "annotations": dict.fromkeys((KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY))}
    patch = {"metadata": {"uid": metadata["uid"], **marks}, "spec": {"persistentVolumeReclaimPolicy": policy}}
    await cluster.merge_patch(VOLUME, metadata["name"], None, patch)
