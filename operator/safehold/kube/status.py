"""Statuses of our own kinds: one server-side apply, left out when nothing would change."""

from safehold.api.base import Resource, Status
from safehold.kube.client import Cluster
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    VM_BACKUP,
    VM_RESTORE,
    Kind,
)

OWN_KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (BACKUP_POLICY, BACKUP_TARGET, CLUSTER_BACKUP_POLICY, CLUSTER_BACKUP_TARGET, VM_BACKUP, VM_RESTORE)
}


async def apply_status(cluster: Cluster, resource: Resource, observed: Status, wanted: Status) -> bool:
    """Make `wanted` the status of `resource`, whose status was `observed`; False when they are equal already."""
    if wanted == observed:
        return False
    metadata = resource.metadata
    manifest = {
        "metadata": {"name": metadata.name, **({"namespace": metadata.namespace} if metadata.namespace else {})},
        "status": {name: value for name, value in wanted.to_wire().items() if name not in wanted.of_others},
    }
    await cluster.apply(OWN_KINDS[resource.kind], manifest, subresource="status")
    return True
