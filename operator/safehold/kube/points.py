"""A restore point as whoever may read its VMBackup, its target and the target's Secrets can open it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from safehold.api import VMBackup
from safehold.errors import PointError, SpecError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_BACKUP
from safehold.kube.target.resolution import read_secrets, read_target
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import describe, refuse_repository
from safehold.plan.tenancy import owner_of
from safehold.reasons import Reason
from safehold.run import Owner, RepositoryPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class PointAccess:
    """Where a point is, whose it is, and what opens it."""

    restore_point: str
    owner: Owner
    place: RepositoryPlace
    key_domain: str
    files: Mapping[str, bytes] = field(repr=False)
    """The repository key, and credentials and CA where the target names some, under the names of `safehold.run`."""


async def find_access(cluster: Cluster, name: str, namespace: str, *, operator_namespace: str) -> PointAccess:
    """What a VMBackup's restore point takes to be read from here, with the rights of whoever asks.

    The endpoint may be any: here it is a person who decides where to connect.
    """
    backup = VMBackup.model_validate(await cluster.read(VM_BACKUP, name, namespace))
    status, called = backup.status, f"VMBackup {namespace}/{name}"
    if status.restore_point is None:
        raise PointError(f"{called} has no restore point", found=f"phase {status.phase}")
    ref = backup.spec.target_ref
    target = await read_target(cluster, ref, namespace)
    if target is None:
        raise SpecError(f"{ref.kind} {ref.name}, the target of {called}, is gone", reason=Reason.TARGET_NOT_FOUND)
    facts = describe(target, operator_namespace, EndpointRules(allow_local=True))
    if isinstance(facts, Refusal):
        raise _error(facts)
    changed = refuse_repository(facts, status.target.repository_id if status.target else None)
    if changed is not None:
        raise _error(changed)
    secrets = await read_secrets(cluster, facts)
    if secrets.refusal is not None:
        raise _error(secrets.refusal)
    return PointAccess(
        restore_point=status.restore_point,
        owner=owner_of(backup),
        place=facts.place,
        key_domain=facts.key_domain(status.namespace_uid or ""),
        files=secrets.files,
    )


def _error(refusal: Refusal) -> SpecError:
    return SpecError(refusal.message, reason=refusal.reason)
