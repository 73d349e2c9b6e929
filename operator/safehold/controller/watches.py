"""Kopf's watches: they put what changed into the queues, and hold a deletion until the queues are done with it.

A handler does nothing else. Reconciles are in `policies`, `targets` and `restores`; each is called for a key, reads
what it needs, and may be called again at any time. VMBackups, of which there are very many, are watched by
`backup_watch`.
"""

import logging
from collections.abc import Mapping
from typing import Any

import kopf

from safehold.api import GROUP, VERSION
from safehold.controller.memo import Operator
from safehold.controller.sweep import is_over
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    VM_RESTORE,
)
from safehold.plan.conditions import READY, STALLED
from safehold.plan.policy.facts import RUN_NOW

POLICIES = (BACKUP_POLICY.plural, CLUSTER_BACKUP_POLICY.plural)
CLEANUP_POLL_SECONDS = 2.0
_CLEANING_UP = "the deletion waits until everything is cleaned up"


@kopf.on.event(GROUP, VERSION, BACKUP_TARGET.plural)
@kopf.on.event(GROUP, VERSION, CLUSTER_BACKUP_TARGET.plural)
@kopf.on.event(GROUP, VERSION, BACKUP_POLICY.plural)
@kopf.on.event(GROUP, VERSION, CLUSTER_BACKUP_POLICY.plural)
@kopf.on.event(GROUP, VERSION, VM_RESTORE.plural)
async def object_changed(
    resource: kopf.Resource,
    namespace: str | None,
    name: str,
    uid: str,
    event: Mapping[str, Any],
    body: Mapping[str, Any],
    memo: Operator,
    **_: Any,
) -> None:
    """Look at an object of ours that appeared, changed or went. Of a restore that is over only the end is news."""
    gone = event["type"] == "DELETED"
    if gone:
        memo.forget(uid)
    elif resource.plural in POLICIES:
        memo.policies[uid] = (resource.plural, (namespace or "", name))
    if gone or (not is_over(body) and is_news(memo, uid, event["type"], body["metadata"])):
        memo.look_at(resource.plural, namespace, name)


def is_news(memo: Operator, uid: str, kind: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether more than the status changed, which is our own doing: looking again at once would undo every delay."""
    mark = (
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        tuple(metadata.get("finalizers") or ()),
        (metadata.get("annotations") or {}).get(RUN_NOW),
    )
    before = memo.marks.get(uid)
    memo.marks[uid] = mark
    return kind != "MODIFIED" or before != mark


def restore_holds(body: Mapping[str, Any], **_: Any) -> bool:
    """Whether a VMRestore may only go after we let it: while it is active, or about to be after its dry run."""
    status = body.get("status") or {}
    only_planned = "plan" in status and "completionTime" not in status
    return not has_ended(body) or (only_planned and not body["spec"].get("dryRun"))


def has_ended(body: Mapping[str, Any]) -> bool:
    """Whether a run's or restore's conditions say so; as it is read, since thousands are, too many to make models."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(found["type"] in (READY, STALLED) and found["status"] == "True" for found in conditions)


@kopf.on.delete(GROUP, VERSION, "vmrestores", when=restore_holds)
async def object_deleted(uid: str, memo: Operator, **_: Any) -> None:
    """Keep the finalizer; the reconcile, which sees the deletion too, takes it off once it has cleaned up."""
    if uid not in memo.released:
        raise kopf.TemporaryError(_CLEANING_UP, delay=CLEANUP_POLL_SECONDS)


class WaitingIsNoError(logging.Filter):
    """Keeps out of the log what Kopf calls a failure: that `object_deleted` still waits, as it should."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        return _CLEANING_UP not in record.getMessage()
