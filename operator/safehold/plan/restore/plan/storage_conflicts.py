"""What storage and quotas have against a restore."""

from collections import Counter
from collections.abc import Iterator

from safehold.api.restore_plan import PlanConflict, Severity
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Look
from safehold.plan.restore.machine.manifest import Machine, key
from safehold.plan.restore.plan.surroundings import Quota, Surroundings
from safehold.reasons import Reason

_CLASS_LIMIT = ".storageclass.storage.k8s.io/"
_COUNTED = {
    "Secret": ("secrets", "count/secrets"),
    "ConfigMap": ("configmaps", "count/configmaps"),
    "ServiceAccount": ("count/serviceaccounts",),
    "ControllerRevision": ("count/controllerrevisions.apps",),
    "VirtualMachine": ("count/virtualmachines.kubevirt.io",),
}
"""Kind → the names under which quotas count it."""


def storage_conflicts(look: Look, around: Surroundings, machine: Machine | None) -> Iterator[PlanConflict]:
    """Classes that cannot do what is asked of them, and quotas that are too small. `look` is admitted."""
    yield from _classes(look, around)
    tenant = _claims_of_the_vm(look)
    tenant.update(_objects(around, machine))
    operator = Counter({"count/jobs.batch": 1, "secrets": 1, "count/secrets": 1})
    for record in look.status.volumes:
        operator.update(_claim(record))
    for quota in around.quotas:
        if quota.namespace == look.seen.namespace.name:
            yield from _exceeded(quota, tenant)
        if quota.namespace == look.seen.operator_namespace:
            yield from _exceeded(quota, operator)


def _classes(look: Look, around: Surroundings) -> Iterator[PlanConflict]:
    for record in look.status.volumes:
        known = around.claim_sets.get(record.storage_class_name or "")
        if known and not any((mode, record.mode) in known for mode in record.access_modes):
            modes = ", ".join(record.access_modes)
            message = (
                f"CDI's StorageProfile says that class {record.storage_class_name} has no {record.mode} volumes with "
                f"{modes}, which volume {record.name} had; map it to another class if its claim stays Pending"
            )
            yield conflict("Warns", Refusal(Reason.VOLUME_MISMATCH, message))


def _claims_of_the_vm(look: Look) -> Counter[str]:
    """What claims in the restore's namespace add: one that replaces another only what it is larger."""
    added: Counter[str] = Counter()
    for record in look.status.volumes:
        wanted = _claim(record)
        live = look.seen.live_claims.get(record.claim_name) if look.in_place else None
        if live is not None:
            before = record.model_copy(update={"capacity_bytes": live.shape.size_bytes})
            wanted.subtract(_claim(before))
        added.update(wanted)
    return added


def _claim(record: VolumeRestore) -> Counter[str]:
    counted = {"persistentvolumeclaims": 1, "requests.storage": record.capacity_bytes}
    of_class = {f"{record.storage_class_name}{_CLASS_LIMIT}{name}": amount for name, amount in counted.items()}
    return Counter({**counted, **of_class, "count/persistentvolumeclaims": 1})


def _objects(around: Surroundings, machine: Machine | None) -> Counter[str]:
    created = [] if machine is None else [machine.vm, *machine.dependencies]
    kinds = [manifest["kind"] for manifest in created if key(manifest) not in around.dependencies]
    return Counter(name for kind in kinds for name in _COUNTED.get(kind, ()))


def _exceeded(quota: Quota, added: Counter[str]) -> Iterator[PlanConflict]:
    for name, limit in sorted(quota.hard.items()):
        used, more = quota.used.get(name, 0), added[name]
        if more > 0 and used + more > limit:
            message = (
                f"ResourceQuota {quota.namespace}/{quota.name} allows {limit} of {name}, {used} are used, and the "
                f"restore needs {more} more; raise it, or delete what is not needed"
            )
            yield conflict("Blocks", Refusal(Reason.QUOTA_EXCEEDED, message))


def conflict(severity: Severity, why: Refusal) -> PlanConflict:
    """A refusal as a part of a plan."""
    return PlanConflict(severity=severity, reason=why.reason.value, message=why.message)
