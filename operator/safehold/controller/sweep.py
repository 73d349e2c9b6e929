"""A round through everything, every few minutes: what is left of runs that are gone, and what no event told of.

A watch may end without a word, and an object may go while nobody holds it (a namespace that ends takes VMBackups with
it). So the round takes leftovers away by their labels, and looks at every object again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from safehold.controller.bases import sweep_bases
from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics
from safehold.errors import SafeholdError
from safehold.kube.backup.leftovers import owners_of_leftovers
from safehold.kube.backup.removal import remove_leftovers
from safehold.kube.client import Cluster, Manifest
from safehold.kube.coverage import find_uncovered
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    VM_BACKUP,
    VM_RESTORE,
)
from safehold.kube.restore.kept import remove_overdue
from safehold.kube.retention.catalogue import trim_catalogue

logger = logging.getLogger(__name__)

OWNERS = (BACKUP_TARGET, CLUSTER_BACKUP_TARGET, VM_BACKUP, VM_RESTORE)
"""Kinds whose objects have Jobs, Secrets and claims in the operator's namespace."""


async def sweep_forever(operator: Operator, metrics: Metrics, waits_in_line: Callable[[Manifest], bool]) -> None:
    """One round after another, until cancelled. `waits_in_line`: whether a VMBackup is called when it is its turn."""
    while True:
        try:
            held = await look_at_everything(operator, waits_in_line)
            settings = operator.settings
            await sweep(
                operator.cluster,
                operator_namespace=settings.operator_namespace,
                pulls=settings.kubevirt_engine,
                groups=settings.group_snapshots,
            )
            await sweep_bases(operator, metrics)
            await remove_overdue(operator.cluster, operator.now())
            trimmed = await trim_catalogue(operator.cluster, keep_per_vm=settings.catalogue_keep_per_vm)
            if trimmed:
                logger.info("took %d VMBackups out of the catalogue; their points stay", trimmed)
            uncovered = await find_uncovered(operator.cluster, operator.fleet)
            operator.figures.show_census((one.gap for one in uncovered), held)
            metrics.last_round.set(operator.now().timestamp())
        except SafeholdError as error:
            logger.warning("the sweep was interrupted: %s", error)
        except Exception:  # edge of the process: without a next round nothing would be swept until a restart
            logger.exception("a defect in the sweep")
        await asyncio.sleep(operator.settings.sweep_seconds)


async def look_at_everything(operator: Operator, waits_in_line: Callable[[Manifest], bool]) -> int:
    """Put every object of ours into its queue, except runs that are over or wait in line: there may be very many.

    Of those that are over it is noted what became of them. Answers how many VMBackups hold their restore point.
    """
    held = 0
    with operator.outcomes.renewing():
        for kind in (*OWNERS, BACKUP_POLICY, CLUSTER_BACKUP_POLICY):
            async for page in operator.cluster.pages(kind):
                for found in page.items:
                    metadata = found["metadata"]
                    if kind is VM_BACKUP:
                        operator.outcomes.note(found)
                        held += bool(found["spec"].get("hold"))
                        if waits_in_line(found):
                            continue
                    if not is_over(found):
                        operator.look_at(kind.plural, metadata.get("namespace"), metadata["name"])
    return held


def is_over(found: Mapping[str, Any]) -> bool:
    """Whether an object as it was read is a run that has ended, and that nobody deletes."""
    completion = (found.get("status") or {}).get("completionTime")
    return completion is not None and "deletionTimestamp" not in found["metadata"] and not _goes_on(found)


def _goes_on(found: Mapping[str, Any]) -> bool:
    """Whether a restore that has ended is to be undone, keeps volumes, or is to be deleted in time."""
    spec, status = found["spec"], found["status"]
    undoes = spec.get("undo", False) and "undoEndTime" not in status
    keeps = "undoUntil" in status and "removalTime" not in status
    return undoes or keeps or "ttlSecondsAfterFinished" in spec


async def sweep(cluster: Cluster, *, operator_namespace: str, pulls: bool = False, groups: bool = False) -> None:
    """Take away what belongs to objects of ours that do not exist any more."""
    # In this order: an object that is listed first belongs to an owner that was created before.
    owners = await owners_of_leftovers(cluster, operator_namespace=operator_namespace, pulls=pulls, groups=groups)
    living = {
        found["metadata"]["uid"]
        for kind in OWNERS
        async for page in cluster.pages(kind, metadata_only=True)
        for found in page.items
    }
    for uid in sorted(owners - living):
        logger.info("takes away what is left of the object with uid %s, which is gone", uid)
        await remove_leftovers(cluster, uid, operator_namespace=operator_namespace, pulls=pulls, groups=groups)
