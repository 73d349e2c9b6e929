"""The six kinds as the API server knows them: names, scope, and what `kubectl get` shows of each."""

from dataclasses import dataclass
from typing import Literal

from safehold.api.base import GROUP, Resource
from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.api.target import BackupTarget, ClusterBackupTarget
from safehold.api.vmbackup import VMBackup
from safehold.api.vmrestore import VMRestore


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` ones only with `-o wide`."""

    name: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KindDefinition:
    """What a CustomResourceDefinition says beside the schema."""

    model: type[Resource]
    plural: str
    short_name: str
    namespaced: bool
    columns: tuple[Column, ...]

    @property
    def kind(self) -> str:
        """The name in manifests."""
        return self.model.__name__

    @property
    def singular(self) -> str:
        """The name for one object on the command line."""
        return self.kind.lower()

    @property
    def definition_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


_READY = '.status.conditions[?(@.type=="Ready")]'
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_REASON = Column("Reason", f"{_READY}.reason", wide=True)

_TARGET_COLUMNS = (
    Column("Ready", f"{_READY}.status"),
    Column("Reason", f"{_READY}.reason"),
    Column("Bucket", ".spec.s3.bucket"),
    Column("Prefix", ".spec.s3.prefix"),
    Column("Access", ".spec.accessMode"),
    Column("Validated", ".status.lastValidationTime", "date"),
    Column("Endpoint", ".spec.s3.endpoint", wide=True),
    Column("Keys", ".spec.keyDomain", wide=True),
    _AGE,
)
_POLICY_COLUMNS = (
    Column("Schedule", ".spec.schedule"),
    Column("Zone", ".spec.timeZone"),
    Column("Target", ".spec.targetRef.name"),
    Column("Phase", ".status.phase"),
    Column("VMs", ".status.matchedMachines", "integer"),
    Column("Behind", ".status.overdueMachines", "integer"),
    Column("Active", ".status.activeBackups", "integer"),
    Column("Failed", ".status.failedMachines", "integer"),
    Column("Last Success", ".status.lastSuccessfulTime", "date"),
    # kubectl prints times in the future as <invalid> in a date column.
    Column("Next", ".status.nextScheduleTime"),
    Column("Forecast", ".status.forecast.summary", wide=True),
    Column("Consistency", ".spec.consistency.level", wide=True),
    _REASON,
    _AGE,
)
_BACKUP_COLUMNS = (
    Column("VM", ".spec.vm.name"),
    Column("Phase", ".status.phase"),
    Column("Point", ".status.restorePoint"),
    Column("Engine", ".status.engine"),
    Column("Consistency", ".status.consistency.reached"),
    Column("Frozen", ".status.summary.frozen"),
    Column("Uploaded", ".status.summary.uploaded"),
    Column("Progress", ".status.summary.progress"),
    Column("Total", ".status.summary.total", wide=True),
    Column("Read", ".status.summary.read", wide=True),
    Column("Changed", ".status.summary.changed", wide=True),
    Column("Stored", ".status.summary.stored", wide=True),
    Column("Duration", ".status.summary.duration", wide=True),
    Column("Target", ".spec.targetRef.name", wide=True),
    _REASON,
    _AGE,
)
_RESTORE_COLUMNS = (
    Column("VM", ".status.summary.vm"),
    Column("Mode", ".spec.target.mode"),
    Column("Phase", ".status.phase"),
    Column("Point", ".status.restorePoint"),
    Column("Restored", ".status.summary.restored"),
    Column("Progress", ".status.summary.progress"),
    Column("Duration", ".status.summary.duration", wide=True),
    Column("Backup", ".status.backup.name", wide=True),
    _REASON,
    _AGE,
)

KINDS = (
    KindDefinition(
        model=BackupTarget, plural="backuptargets", short_name="btgt", namespaced=True, columns=_TARGET_COLUMNS
    ),
    KindDefinition(
        model=ClusterBackupTarget,
        plural="clusterbackuptargets",
        short_name="cbtgt",
        namespaced=False,
        columns=_TARGET_COLUMNS,
    ),
    KindDefinition(
        model=BackupPolicy, plural="backuppolicies", short_name="bpol", namespaced=True, columns=_POLICY_COLUMNS
    ),
    KindDefinition(
        model=ClusterBackupPolicy,
        plural="clusterbackuppolicies",
        short_name="cbpol",
        namespaced=False,
        columns=_POLICY_COLUMNS,
    ),
    KindDefinition(model=VMBackup, plural="vmbackups", short_name="vmb", namespaced=True, columns=_BACKUP_COLUMNS),
    KindDefinition(model=VMRestore, plural="vmrestores", short_name="vmr", namespaced=True, columns=_RESTORE_COLUMNS),
)
