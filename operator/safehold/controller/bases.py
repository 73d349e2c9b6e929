"""Kept bases that nobody will ask about are taken away, and the others counted."""

import logging
from datetime import timedelta

from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics
from safehold.kube.backup.changed_blocks import list_bases
from safehold.kube.backup.removal import take_away
from safehold.kube.client import Cluster
from safehold.kube.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY, VM, Kind
from safehold.plan.backup.bases import drop_base, stale_bases

logger = logging.getLogger(__name__)


async def sweep_bases(operator: Operator, metrics: Metrics) -> None:
    """One round over all bases."""
    cluster, settings = operator.cluster, operator.settings
    bases = await list_bases(cluster, operator_namespace=settings.operator_namespace)
    # In this order: a base that is listed belongs to a VM and a policy that existed before.
    going = stale_bases(
        bases,
        machines=await _uids(cluster, VM) if bases else (),
        policies=await _uids(cluster, BACKUP_POLICY, CLUSTER_BACKUP_POLICY) if bases else (),
        now=operator.now(),
        max_age=timedelta(seconds=settings.base_max_age_seconds),
    )
    for base in going:
        logger.info("takes away base %s, which no backup will ask about", base.name)
        await take_away(cluster, drop_base(base), operator_namespace=settings.operator_namespace)
    metrics.bases.set(len(bases) - len(going))


async def _uids(cluster: Cluster, *kinds: Kind) -> set[str]:
    return {
        found["metadata"]["uid"]
        for kind in kinds
        async for page in cluster.pages(kind, metadata_only=True)
        for found in page.items
    }
