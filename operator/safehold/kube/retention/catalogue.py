"""Taking VMBackups out of the cluster without a word to the bucket."""

from collections.abc import Collection, Iterable

from safehold.api.vmrestore import VMRestore
from safehold.errors import ConflictError, NotFoundError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_BACKUP, VM_RESTORE
from safehold.plan.conditions import is_finished
from safehold.plan.retention.catalogue import CatalogueEntry, entry_of, surplus


async def trim_catalogue(cluster: Cluster, *, keep_per_vm: int) -> int:
    """Take away what the catalogue has too much of; answers how many VMBackups that were."""
    # In this order: a restore that begins in between names a VMBackup that is still there, or fails at once.
    entries = await _entries(cluster)
    return await _take_away(cluster, surplus(entries, keep_per_vm=keep_per_vm, in_use=await _in_use(cluster)))


async def drop_forgotten(cluster: Cluster, restore_points: Collection[str]) -> int:
    """Take away the VMBackups whose points retention has forgotten: nothing can be restored from them any more."""
    if not restore_points:
        return 0
    return await _take_away(cluster, [e for e in await _entries(cluster) if e.restore_point in restore_points])


async def _entries(cluster: Cluster) -> list[CatalogueEntry]:
    pages = cluster.pages(VM_BACKUP)
    return [entry async for page in pages for found in page.items if (entry := entry_of(found)) is not None]


async def _in_use(cluster: Cluster) -> set[tuple[str, str]]:
    restores = [VMRestore.model_validate(each) for each in await cluster.list(VM_RESTORE)]
    active = [restore for restore in restores if not is_finished(restore.status.conditions)]
    return {
        (restore.spec.source.namespace or restore.metadata.namespace or "", name)
        for restore in active
        for name in (restore.spec.source.backup, restore.status.backup.name if restore.status.backup else None)
        if name
    }


async def _take_away(cluster: Cluster, entries: Iterable[CatalogueEntry]) -> int:
    """Retain comes first: then no deletion of the object forgets its point, whoever finishes it."""
    gone = 0
    for entry in entries:
        # The version guards against a hold that was set since the list.
        guard = {"uid": entry.uid, "resourceVersion": entry.resource_version}
        patch = {"metadata": guard, "spec": {"deletionPolicy": "Retain"}}
        try:
            await cluster.merge_patch(VM_BACKUP, entry.name, entry.namespace, patch)
            gone += await cluster.delete(VM_BACKUP, entry.name, entry.namespace, uid=entry.uid)
        except (ConflictError, NotFoundError):  # changed or gone meanwhile: the next round looks again
            continue
    return gone
