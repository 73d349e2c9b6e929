"""The objects around one VMBackup of VM db: the backup as a person creates it, its target, the operator's rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.api import VMBackup
from safehold.api.references import RepositoryKeyRef
from safehold.plan.backup.run import BackupRules
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason
from safehold.run import RepositoryPlace

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
RULES = BackupRules(
    operator_namespace="safehold",
    cluster_id="cluster",
    prepare_timeout=timedelta(minutes=30),
    poll_seconds=2.0,
)


def target() -> TargetFacts:
    """A target that may be used."""
    return TargetFacts(
        kind="ClusterBackupTarget",
        name="primary",
        uid="target-uid",
        secrets_namespace="safehold",
        place=RepositoryPlace(bucket="backups"),
        key=RepositoryKeyRef(name="key"),
        credentials=None,
        ca_bundle=None,
        sharing="Namespace",
        access_mode="ReadWrite",
        repository_id="repo",
    )


def new_backup(**spec: object) -> VMBackup:
    """As a person creates it; `spec` adds to it."""
    return VMBackup.model_validate(
        {
            "metadata": {
                "name": "db-1",
                "namespace": "shop",
                "uid": "backup-uid",
                "generation": 1,
                "creationTimestamp": START.isoformat(),
            },
            "spec": {"vm": {"name": "db"}, "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"}, **spec},
        }
    )


CHANGED_TARGETS: list[tuple[dict[str, Any], Reason]] = [
    ({"access_mode": "ReadOnly"}, Reason.TARGET_READ_ONLY),
    ({"repository_id": "another"}, Reason.REPOSITORY_CHANGED),
]
