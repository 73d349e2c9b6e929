"""The first stage of a restore: which point it is of, recorded with all that is known of it."""

from safehold.api import VMBackup
from safehold.api.restore_point import RestorePoint
from safehold.api.vmrestore import RestoredBackup
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import Answer, ObservedRestore
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.point.description import point_of
from safehold.plan.restore.point.inquiry import ask
from safehold.plan.restore.point.source import SourceFacts, choose
from safehold.plan.restore.steps import Record
from safehold.plan.tenancy import PointOwner, refuse_restore

PHASE = "Preparing"


def choose_point(look: Look) -> Decision | None:
    """Until a point is chosen: by a VMBackup, or by what its bucket says."""
    if look.status.point is not None:
        return None
    found = choose(look.restore, source_facts(look.seen))
    if isinstance(found, Refusal):
        return look.fails(found)
    if isinstance(found, VMBackup):
        namespace = found.metadata.namespace or ""
        backup = RestoredBackup(namespace=namespace, name=found.metadata.name, uid=found.metadata.uid)
        return _record(look, point_of(found), backup)
    answer = ask(look, found)
    if isinstance(answer, Decision):
        return answer
    refusal = _refuse_owner(look, answer)
    return look.fails(refusal) if refusal else _record(look, answer.point)


def source_facts(seen: ObservedRestore) -> SourceFacts:
    """What the choice depends on, out of one look."""
    return SourceFacts(
        cluster_id=seen.cluster_id,
        own=seen.namespace,
        source=seen.source,
        backups=seen.backups,
        vm_uid=seen.source_vm_uid,
    )


def called(point: RestorePoint) -> str:
    """What is restored, for people."""
    checked = ", verified" if point.verified else ""
    vm = f"{point.vm.namespace}/{point.vm.name}"
    return f"restores point {point.id} of VM {vm}, captured {point.capture_time:%FT%TZ}{checked}"


def _record(look: Look, point: RestorePoint, backup: RestoredBackup | None = None) -> Decision:
    return look.goes_on(Record(), PHASE, called(point), point=point, restore_point=point.id, backup=backup)


def _refuse_owner(look: Look, answer: Answer) -> Refusal | None:
    vm = answer.point.vm
    owner = PointOwner(cluster_id=vm.cluster_id, namespace=vm.namespace, namespace_uid=vm.namespace_uid)
    seen = look.seen
    return refuse_restore(owner, cluster_id=seen.cluster_id, source=seen.inquiry.owner_namespace, target=seen.namespace)
