"""Holding restore points by their VMBackups: `spec.hold`, found by the object's name or by the point's id."""

from safehold.api.vmbackup import VMBackup
from safehold.errors import PointError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_BACKUP


async def find_backup(cluster: Cluster, namespace: str, name: str, *, is_point: bool) -> VMBackup:
    """The VMBackup of that name, or with `is_point` that of the restore point; NotFoundError, PointError."""
    if not is_point:
        return VMBackup.model_validate(await cluster.read(VM_BACKUP, name, namespace))
    async for page in cluster.pages(VM_BACKUP, namespace):
        for found in page.items:
            if (found.get("status") or {}).get("restorePoint") == name:
                return VMBackup.model_validate(found)
    raise PointError(
        f"No VMBackup in namespace {namespace} is of the restore point {name}",
        remedy="name its namespace, or hold it in the bucket: give --repository and --key-file",
    )


async def set_hold(cluster: Cluster, backup: VMBackup, reason: str | None) -> None:
    """Hold the VMBackup and its point for that reason; None: no longer."""
    if reason is not None and backup.status.completion_time is not None and backup.status.restore_point is None:
        raise PointError(
            f"VMBackup {backup.metadata.name} failed, so it has no restore point that could be held",
            remedy="look at its status.failure",
        )
    metadata = backup.metadata
    patch = {"metadata": {"uid": metadata.uid}, "spec": {"hold": reason is not None, "holdReason": reason}}
    await cluster.merge_patch(VM_BACKUP, metadata.name, metadata.namespace, patch)
