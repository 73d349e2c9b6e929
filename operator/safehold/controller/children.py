"""What runs, restores and targets have made, as it changes: each change leads to a look at the owner.

Looks come by themselves too, but with many runs under way seldom; each stage of a clean-up would wait for the next.
"""

import asyncio

from safehold.controller.memo import Operator
from safehold.kube.client import WatchEvent, label_selector
from safehold.kube.following import Scope, follow
from safehold.kube.kinds import (
    BACKUP_TARGET,
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    JOB,
    POD,
    VM_BACKUP,
    VM_RESTORE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from safehold.plan.names import BASE_OF, MANAGED_BY, MANAGER, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE

LAG_SECONDS = 0.2
"""How long an owner's look waits for more: a claim that is bound, or a pair that is made ready, is several changes."""
_OWNERS = {kind.kind: kind.plural for kind in (VM_BACKUP, VM_RESTORE, BACKUP_TARGET, CLUSTER_BACKUP_TARGET, CLAIM)}
"""Kinds that have children, with the names of their queues."""
_IN_OUR_NAMESPACE = (JOB, POD, CLAIM, VOLUME_SNAPSHOT)
_EVERYWHERE = (VM_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT)


async def follow_children(operator: Operator) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as group:
        for kind in _IN_OUR_NAMESPACE:
            scope = _scope(kind, operator.settings.operator_namespace)
            group.create_task(_follow(operator, scope), name=kind.plural)
        for kind in _EVERYWHERE:
            group.create_task(_follow(operator, _scope(kind)), name=kind.plural)


def _scope(kind: Kind, namespace: str | None = None) -> Scope:
    ours = label_selector({MANAGED_BY: MANAGER})
    return Scope(kind=kind, namespace=namespace, labels=ours, metadata_only=True)


async def _follow(operator: Operator, scope: Scope) -> None:
    def take(event: WatchEvent) -> None:
        labels = event.manifest["metadata"].get("labels") or {}
        plural = _OWNERS.get(labels.get(OWNER_KIND, ""))
        namespace = labels.get(OWNER_NAMESPACE)
        if plural and operator.serves(namespace) and is_news(scope.kind, event):
            operator.look_within(plural, namespace, labels.get(OWNER_NAME, ""), LAG_SECONDS)

    await follow(operator.cluster, scope, take)


def is_news(kind: Kind, event: WatchEvent) -> bool:
    """Whether an owner may wait for this: what was made or is to go is the owner's own doing.

    A pod tells by its Job; only Jobs are gone before their pods are. Bases stay when their run is over. What is listed
    belongs to owners that are looked at anyway, or are over.
    """
    metadata = event.manifest["metadata"]
    if BASE_OF in metadata["labels"]:
        return False
    if event.type == "MODIFIED":
        return kind is not POD and "deletionTimestamp" not in metadata
    return event.type == "DELETED"
