"""Everything in the cluster that carries our labels, and the owners that it says it has."""

from collections.abc import AsyncIterator
from datetime import datetime

from safehold.errors import NotServedError
from safehold.kube.backup.group.leftovers import list_group_objects, list_marked
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    BACKUP_TARGET,
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    JOB,
    SECRET,
    VM_BACKUP,
    VM_PULL_BACKUP,
    VM_RESTORE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from safehold.plan.doctor.orphans import MARK, Child, Orphan, Owner, find_orphans
from safehold.plan.names import (
    BASE_OF,
    GROUP_MARK,
    MANAGED_BY,
    MANAGER,
    OWNER_KIND,
    OWNER_NAME,
    OWNER_NAMESPACE,
    OWNER_UID,
)

IN_OPERATOR_NAMESPACE: tuple[Kind, ...] = (JOB, SECRET)
EVERYWHERE: tuple[Kind, ...] = (CLAIM, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, VM_SNAPSHOT, VM_PULL_BACKUP)
OWNERS: tuple[Kind, ...] = (BACKUP_TARGET, CLUSTER_BACKUP_TARGET, VM_BACKUP, VM_RESTORE)


async def list_orphans(cluster: Cluster, *, operator_namespace: str, now: datetime) -> tuple[Orphan, ...]:
    """The objects of our making that nobody needs any more. Bases outlive their runs: the controller ends them."""
    contents = await _list(cluster, VOLUME_SNAPSHOT_CONTENT, labels={MANAGED_BY: MANAGER})
    bases = {found["metadata"]["name"] for found in contents if BASE_OF in found["metadata"]["labels"]}
    children = [child async for child in _children(cluster, operator_namespace) if child.name not in bases]
    # In this order: an object that is listed first belongs to an owner that was created before.
    owners = [_owner(found) for kind in OWNERS for found in await _list(cluster, kind)]
    return find_orphans(children, owners, now)


async def _children(cluster: Cluster, operator_namespace: str) -> AsyncIterator[Child]:
    places: list[tuple[Kind, str | None]] = [(kind, operator_namespace) for kind in IN_OPERATOR_NAMESPACE]
    for kind, namespace in [*places, *((kind, None) for kind in EVERYWHERE)]:
        for found in await _list(cluster, kind, namespace, labels={MANAGED_BY: MANAGER}):
            if (found["metadata"].get("labels") or {}).get(OWNER_UID):
                yield _child(kind.kind, found)
    for found in await list_group_objects(cluster):
        if found["metadata"]["labels"].get(OWNER_UID):
            yield _child(found["kind"], found)
    for found in await list_marked(cluster):
        yield _mark(found)


async def _list(
    cluster: Cluster, kind: Kind, namespace: str | None = None, *, labels: dict[str, str] | None = None
) -> list[Manifest]:
    """Nothing of a kind that is not installed: a check of its own says so."""
    try:
        return await cluster.list(kind, namespace, labels=labels or "")
    except NotServedError:
        return []


def _mark(claim: Manifest) -> Child:
    metadata = claim["metadata"]
    owner = metadata["labels"][GROUP_MARK]
    return Child(
        kind=MARK,
        namespace=metadata["namespace"],
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        owner_kind="VMBackup",
        owner_uid=owner,
        owner_namespace=metadata["namespace"],
        owner_name=owner,
    )


def _child(kind: str, found: Manifest) -> Child:
    metadata = found["metadata"]
    labels = metadata["labels"]
    return Child(
        kind=kind,
        namespace=metadata.get("namespace"),
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        owner_kind=labels.get(OWNER_KIND, ""),
        owner_uid=labels[OWNER_UID],
        owner_namespace=labels.get(OWNER_NAMESPACE, ""),
        owner_name=labels.get(OWNER_NAME, ""),
    )


def _owner(found: Manifest) -> Owner:
    ended = (found.get("status") or {}).get("completionTime")
    deleting = "deletionTimestamp" in found["metadata"]
    return Owner(uid=found["metadata"]["uid"], ended=datetime.fromisoformat(ended) if ended and not deleting else None)
