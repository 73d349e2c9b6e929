"""Which restore point a VMRestore means, and whether its namespace may have it.

VMBackups are a catalogue of recent points. Where they cannot answer, since a point is older, of another cluster or in a
bucket that is named, the answer is an `Inquiry`, which a worker carries to the bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from safehold.api import TargetRef, VMBackup, VMRestore
from safehold.plan.conditions import is_true
from safehold.plan.refusal import Refusal
from safehold.plan.restore.point.catalogue import best_of, find_gap
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What is to be asked of a bucket: the point of an id, or the latest of a VM of the source namespace."""

    target_ref: TargetRef
    target_namespace: str
    """The namespace for which the target is resolved."""
    point: str | None = None
    vm_uid: str | None = None
    """Of the VM that is asked for; None: the last one of its name."""
    namespace_uid: str | None = None
    """Whose points they are, where that is known before."""


def choose(restore: VMRestore, facts: SourceFacts) -> VMBackup | Inquiry | Refusal:
    """The VMBackup whose point is restored, or what the bucket must be asked.

    Whoever may not read a namespace's points does not learn which ones exist.
    """
    wanted = restore.spec.source
    if wanted.point is not None:
        assert wanted.target is not None  # the definition's rules see to that
        return Inquiry(target_ref=wanted.target, target_namespace=facts.own.name, point=wanted.point)
    name = wanted.namespace or facts.own.name
    found = _by_name(restore, facts, name) if wanted.backup else _by_time(restore, facts, name)
    if not isinstance(found, VMBackup):
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
    if _is_pruned(found):
        message = f"{called} is being deleted, and its restore point forgotten with it; restore another one"
        return Refusal(Reason.POINT_PRUNED, message)
    if not _is_complete(found):
        failure, phase = found.status.failure, found.status.phase or "Pending"
        why = f"it failed: {failure.message}" if failure else f"its phase is {phase}; restore when it is Ready"
        return Refusal(Reason.POINT_NOT_FOUND, f"{called} has no restore point: {why}"[:1024])
    return found


def _by_time(restore: VMRestore, facts: SourceFacts, namespace: str) -> VMBackup | Inquiry | Refusal:
    wanted = restore.spec.source
    of_vm = [found for found in facts.backups if found.spec.vm.name == wanted.vm]
    points = sorted(
        (found for found in of_vm if _is_complete(found) and not _is_pruned(found)),
        key=lambda found: (found.status.capture_time, found.metadata.name),
    )
    # The name may have been another VM's before. Of a VM that is gone, the last one of that name is meant.
    uid = facts.vm_uid or (points[-1].status.vm_uid if points else None)
    if wanted.target is not None:
        return _of_bucket(wanted.target, facts.own.name, facts, namespace, uid)
    called = f"VM {namespace}/{wanted.vm}"
    if not points:
        message = (
            f"{called} has no restore point; `kubectl get vmbackups` lists all runs, and spec.source.target names a "
            "bucket to look into"
        )
        return Refusal(Reason.POINT_NOT_FOUND, message)
    own = [found for found in points if found.status.vm_uid == uid]
    if not own:
        message = (
            f"the restore points of {called} are of an earlier VM of that name, not of the present one; "
            "name one of them in spec.source.backup to restore it"
        )
        return Refusal(Reason.POINT_NOT_FOUND, message)
    best = best_of(own, wanted.before, wanted.verified)
    gap = find_gap(own, best, wanted.before, wanted.verified)
    if gap is not None:
        return _of_bucket(gap.spec.target_ref, namespace, facts, namespace, uid)
    return best or _nothing_fits(restore, own, called)


def _of_bucket(
    target: TargetRef, target_namespace: str, facts: SourceFacts, namespace: str, vm_uid: str | None
) -> Inquiry | Refusal:
    if facts.source is None:
        message = f"namespace {namespace} does not exist any more; name a point of its VMs in spec.source.point"
        return Refusal(Reason.POINT_NOT_FOUND, message)
    return Inquiry(target_ref=target, target_namespace=target_namespace, vm_uid=vm_uid, namespace_uid=facts.source.uid)


def _nothing_fits(restore: VMRestore, own: Sequence[VMBackup], called: str) -> Refusal:
    before = restore.spec.source.before
    oldest = own[0].status.capture_time
    if before is not None and oldest is not None and oldest > before:
        message = f"{called} has no restore point from before {before:%FT%TZ}; the oldest is of {oldest:%FT%TZ}"
    else:
        when = f" from before {before:%FT%TZ}" if before else ""
        message = (
            f"{called} has no restore point{when} of which all disks were read; without spec.source.verified any fits"
        )
    return Refusal(Reason.POINT_NOT_FOUND, message)


def _is_complete(backup: VMBackup) -> bool:
    status = backup.status
    return is_true(status.conditions, "Ready") and bool(status.restore_point) and status.capture_time is not None


def _is_pruned(backup: VMBackup) -> bool:
    """Whether its point is being forgotten: a hold keeps it, and so does Retain."""
    going = backup.metadata.deletion_timestamp is not None
    return going and backup.spec.deletion_policy == "Delete" and not backup.spec.hold
