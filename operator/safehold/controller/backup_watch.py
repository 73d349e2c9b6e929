"""VMBackups as they change, and which of them must not go before they are let go.

The catalogue is tens of thousands of finished ones. Kopf has a worker for each that it is told of, and keeps those that
wait for one whole: a start among 50,000 took 876 MiB (docs/adr/0011). Here nothing is kept of them.
"""

from collections.abc import Mapping
from typing import Any

from safehold.controller.memo import Operator
from safehold.controller.sweep import is_over
from safehold.controller.watches import has_ended, is_news
from safehold.kube.client import Manifest, WatchEvent
from safehold.kube.finalizers import has_finalizer
from safehold.kube.following import Scope, follow
from safehold.kube.kinds import VM_BACKUP
from safehold.plan.names import POLICY_UID


async def follow_backups(operator: Operator, since: str) -> None:
    """Heed every change after the list with the version `since`, until cancelled."""
    await follow(operator.cluster, Scope(kind=VM_BACKUP), lambda event: heed(operator, event), since=since)


def heed(operator: Operator, event: WatchEvent) -> None:
    """Look at a VMBackup that appeared, changed or went; at its policy when a run begins, ends or goes.

    Of a run that is over only the end is news, and a change of whether it must stay.
    """
    found = event.manifest
    metadata = found["metadata"]
    if not operator.serves(metadata["namespace"]):
        return
    uid, gone, over = metadata["uid"], event.type == "DELETED", is_over(found)
    if gone:
        operator.forget(uid)
        news = True
    else:
        operator.load.learn(found)
        operator.outcomes.note(found)
        news = is_unsettled(found) if over else is_news(operator, uid, event.type, metadata)
    if news:
        operator.look_at(VM_BACKUP.plural, metadata["namespace"], metadata["name"])
    policy = (metadata.get("labels") or {}).get(POLICY_UID)
    if policy and (gone or over or event.type == "ADDED"):
        operator.look_at_policy(policy)


def must_stay(found: Mapping[str, Any]) -> bool:
    """Whether a VMBackup may only go after we let it: while its run is active, it is held, or its point goes too."""
    spec = found["spec"]
    return not has_ended(found) or spec.get("hold", False) or spec.get("deletionPolicy") == "Delete"


def is_unsettled(found: Manifest) -> bool:
    """Whether our finalizer should be on or off, and is not. From one in deletion the reconcile takes it."""
    return "deletionTimestamp" not in found["metadata"] and must_stay(found) != has_finalizer(found)
