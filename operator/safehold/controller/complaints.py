"""Why an object does not come further, in its conditions: people look there, and not into the controller's log."""

from typing import Any, TypeVar

from safehold.api import (
    BackupPolicy,
    BackupTarget,
    ClusterBackupPolicy,
    ClusterBackupTarget,
    VMBackup,
    VMRestore,
)
from safehold.api.base import Status
from safehold.controller.memo import Operator
from safehold.controller.queue import Key
from safehold.errors import SafeholdError
from safehold.kube.kinds import (
    BACKUP_POLICY,
    BACKUP_TARGET,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    VM_BACKUP,
    VM_RESTORE,
    Kind,
)
from safehold.kube.status import apply_status
from safehold.plan.conditions import conditions_for

AnyResource = VMBackup | VMRestore | BackupPolicy | ClusterBackupPolicy | BackupTarget | ClusterBackupTarget

_MODELS: dict[Kind, type[AnyResource]] = {
    VM_BACKUP: VMBackup,
    VM_RESTORE: VMRestore,
    BACKUP_POLICY: BackupPolicy,
    CLUSTER_BACKUP_POLICY: ClusterBackupPolicy,
    BACKUP_TARGET: BackupTarget,
    CLUSTER_BACKUP_TARGET: ClusterBackupTarget,
}
_SENTENCE_CHARACTERS = 960
"""Of an error's own words, so that what follows them is never cut."""
_KINDS = {kind.plural: kind for kind in _MODELS}


_AGAIN = "(it is tried again)"
AnyStatus = TypeVar("AnyStatus", bound=Status)


def under_complaint(observed: AnyStatus, decided: AnyStatus) -> AnyStatus:
    """The decided status to set before its step is tried again: a complaint stands until the step is done.

    Otherwise the conditions would go back and forth with every try.
    """
    if not any(condition.message.endswith(_AGAIN) for condition in observed.conditions):
        return decided
    return decided.model_copy(update={"conditions": observed.conditions})


async def complain(operator: Operator, plural: str, key: Key, error: SafeholdError) -> None:
    """Say in the object's conditions what failed. The next pass that goes well overwrites it.

    What the rest of the status says was observed stays: decisions depend on it.
    """
    kind = _KINDS[plural]
    found = await operator.cluster.get(kind, key[1], key[0] or None)
    if found is None:
        return
    resource: AnyResource = _MODELS[kind].model_validate(found)
    if _is_over(resource):
        return
    changes: dict[str, Any] = {
        "conditions": conditions_for(
            "InProgress",
            resource.status.conditions,
            generation=resource.metadata.generation,
            now=operator.now(),
            reason=error.reason,
            message=f"{str(error)[:_SENTENCE_CHARACTERS]} {_AGAIN}",
        )
    }
    if isinstance(resource, BackupTarget | ClusterBackupTarget):
        # Its condition is what the last check found, so it takes a new check to come back.
        changes["next_validation_time"] = None
    await apply_status(operator.cluster, resource, resource.status, resource.status.model_copy(update=changes))


def _is_over(resource: AnyResource) -> bool:
    if not isinstance(resource, VMBackup | VMRestore):
        return False
    return resource.status.completion_time is not None and resource.metadata.deletion_timestamp is None
