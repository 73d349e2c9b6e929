"""Which restore point a VMRestore means, and whether its namespace may have it."""

from collections.abc import Sequence
from dataclasses import dataclass

from safehold.api import VMBackup, VMRestore
from safehold.plan.conditions import is_true
from safehold.plan.refusal import Refusal
from safehold.plan.tenancy import NamespaceFacts, PointOwner, refuse_restore
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """Where the points may be, as read from the cluster."""

    cluster_id: str
    own: NamespaceFacts
    """The VMRestore's namespace."""
    source: NamespaceFacts | None
    """The Namespace of the points; None when there is none of that name."""
    backups: Sequence[VMBackup]
    """The VMBackups of the source namespace that may be meant."""
    vm_uid: str | None
    """uid of the VM that has the asked name there now."""


def choose(restore: VMRestore, facts: SourceFacts) -> VMBackup | Refusal:
    """The VMBackup whose point is restored.

    Whoever may not read a namespace's points does not learn which ones exist.
    """
    wanted = restore.spec.source
    name = wanted.namespace or facts.own.name
    found = _by_name(restore, facts, name) if wanted.backup else _by_time(restore, facts, name)
    if isinstance(found, Refusal):
        return _refuse_namespace(facts, name) or found
    owner = PointOwner(
        cluster_id=found.status.cluster_id or "",
        namespace=name,
        namespace_uid=found.status.namespace_uid or "",
    )
    refusal = refuse_restore(owner, cluster_id=facts.cluster_id, source=facts.source, target=facts.own)
    return refusal or found


def _refuse_namespace(facts: SourceFacts, name: str) -> Refusal | None:
    owner = PointOwner(
        cluster_id=facts.cluster_id, namespace=name, namespace_uid=facts.source.uid if facts.source else ""
    )
    return refuse_restore(owner, cluster_id=facts.cluster_id, source=facts.source, target=facts.own)


def _by_name(restore: VMRestore, facts: SourceFacts, namespace: str) -> VMBackup | Refusal:
    name = restore.spec.source.backup
    called = f"VMBackup {namespace}/{name}"
    found = next((backup for backup in facts.backups if backup.metadata.name == name), None)
    if found is None:
        return Refusal(Reason.POINT_NOT_FOUND, f"{called} does not exist; `kubectl get vmbackups` lists those that do")
    if not _is_complete(found):
        failure = found.status.failure
        why = f"it failed: {failure.message}" if failure else "it is still running; restore when it is Ready"
        return Refusal(Reason.POINT_NOT_FOUND, f"{called} has no restore point: {why}"[:1024])
    return found


def _by_time(restore: VMRestore, facts: SourceFacts, namespace: str) -> VMBackup | Refusal:
    vm, before = restore.spec.source.vm, restore.spec.source.before
    points = sorted(
        (found for found in facts.backups if found.spec.vm.name == vm and _is_complete(found)),
        key=lambda found: (found.status.capture_time, found.metadata.name),
    )
    called = f"VM {namespace}/{vm}"
    if not points:
        return Refusal(Reason.POINT_NOT_FOUND, f"{called} has no restore point; `kubectl get vmbackups` lists all runs")
    # The name may have been another VM's before. Of a VM that is gone, the last one of that name is meant.
    uid = facts.vm_uid or points[-1].status.vm_uid
    own = [found for found in points if found.status.vm_uid == uid]
    if not own:
        message = (
            f"the restore points of {called} are of an earlier VM of that name, not of the present one; "
            "name one of them in spec.source.backup to restore it"
        )
        return Refusal(Reason.POINT_NOT_FOUND, message)
    fitting = [found for found in own if before is None or (found.status.capture_time or before) <= before]
    if not fitting:
        oldest = own[0].status.capture_time
        message = f"{called} has no restore point from before {before:%FT%TZ}; the oldest is of {oldest:%FT%TZ}"
        return Refusal(Reason.POINT_NOT_FOUND, message)
    return fitting[-1]


def _is_complete(backup: VMBackup) -> bool:
    status = backup.status
    return is_true(status.conditions, "Ready") and bool(status.restore_point) and status.capture_time is not None
