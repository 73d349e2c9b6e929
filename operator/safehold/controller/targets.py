"""Reconciles of BackupTarget and ClusterBackupTarget."""

from collections.abc import Callable
from functools import partial

from safehold.controller.memo import Operator
from safehold.controller.queue import Key, Reconcile
from safehold.kube.target.maintenance import maintain_target
from safehold.kube.target.validation import drop_validations, get_target, validate_target
from safehold.plan.target.use import AnyTarget

FIRST_LOOK_SECONDS = 0.5
Heed = Callable[[AnyTarget], None]
"""Takes a target's limits over, so that what they let begin does not wait for another run to end."""


def reconciles(operator: Operator, heed: Heed) -> dict[str, Reconcile]:
    """The reconcile of each kind, by its plural."""
    return {
        "backuptargets": partial(reconcile_target, operator, heed, "BackupTarget"),
        "clusterbackuptargets": partial(reconcile_target, operator, heed, "ClusterBackupTarget"),
    }


async def reconcile_target(operator: Operator, heed: Heed, kind: str, key: Key) -> float | None:
    """Bring a target's check and its maintenance further."""
    namespace, name = key[0] or None, key[1]
    target = await get_target(operator.cluster, kind, name, namespace)
    if target is None or target.metadata.deletion_timestamp is not None:
        await drop_validations(operator.cluster, kind, name, namespace, operator.settings.operator_namespace)
        operator.figures.drop(kind, key)
        return None
    heed(target)
    now, pod, rules = operator.now(), operator.settings.worker_pod(), operator.endpoint_rules
    again = await validate_target(operator.cluster, target, pod=pod, rules=rules, now=now)
    # What the check has found decides, and its status must not be overwritten.
    target = await get_target(operator.cluster, kind, name, namespace)
    if target is not None and target.metadata.deletion_timestamp is None:
        at = await maintain_target(
            operator.cluster, target, pod=pod, rules=rules, cluster_id=operator.cluster_id, now=now
        )
        again = min(again, at)
        operator.figures.show_target(target)
    return max(FIRST_LOOK_SECONDS, (again - now).total_seconds())
