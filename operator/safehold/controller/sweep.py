"""A round through everything, every few minutes: what is left of runs that are gone, and what no event told of.

A watch may end without a word, and an object may go while nobody holds it (a namespace that ends takes VMBackups with
it). So the round takes leftovers away by their labels, and looks at every object again.
"""

import asyncio
import logging

from safehold.controller.memo import Operator
from safehold.errors import SafeholdError
from safehold.kube.backup_steps import BackupHands
from safehold.kube.client import Cluster
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    VM_BACKUP,
    VM_RESTORE,
)
from safehold.kube.leftovers import observe_leftovers, owners_of_leftovers
from safehold.plan.cleanup import cleanup

logger = logging.getLogger(__name__)

_STAGE_SECONDS = 1.0
_STAGES = 60
"""Looks at one run's leftovers in one round; what is not gone by then, the next round goes on with."""


async def sweep_forever(operator: Operator, hands: BackupHands) -> None:
    """One round after another, until cancelled."""
    while True:
        try:
            await look_at_everything(operator)
            await sweep(operator.cluster, hands, operator_namespace=operator.settings.operator_namespace)
        except SafeholdError as error:
            logger.warning("the sweep was interrupted: %s", error)
        await asyncio.sleep(operator.settings.sweep_seconds)


async def look_at_everything(operator: Operator) -> None:
    """Put every object of ours into its queue."""
    kinds = (BACKUP_TARGET, CLUSTER_BACKUP_TARGET, BACKUP_POLICY, CLUSTER_BACKUP_POLICY, VM_BACKUP, VM_RESTORE)
    for kind in kinds:
        for found in await operator.cluster.list(kind):
            metadata = found["metadata"]
            operator.look_at(kind.plural, metadata.get("namespace"), metadata["name"])


async def sweep(cluster: Cluster, hands: BackupHands, *, operator_namespace: str) -> None:
    """Take away what belongs to VMBackups that do not exist any more."""
    # In this order: an object that is listed first belongs to a VMBackup that was created before.
    owners = await owners_of_leftovers(cluster, operator_namespace=operator_namespace)
    living = {found["metadata"]["uid"] for found in await cluster.list(VM_BACKUP)}
    for uid in sorted(owners - living):
        logger.info("takes away what is left of VMBackup %s, which is gone", uid)
        await _sweep_run(cluster, hands, uid, operator_namespace=operator_namespace)


async def _sweep_run(cluster: Cluster, hands: BackupHands, uid: str, *, operator_namespace: str) -> None:
    for _ in range(_STAGES):
        found = await observe_leftovers(cluster, uid, operator_namespace=operator_namespace, namespace=None)
        steps = cleanup(found)
        if not steps and not found.pods:
            return
        for step in steps:
            await hands.carry_out(step)
        await asyncio.sleep(_STAGE_SECONDS)
