"""The six kinds of `safehold.dev/v1alpha1` as pydantic models; `crds/` is generated from them (`make crds`)."""

from safehold.api.base import API_VERSION, GROUP, VERSION, Condition, Failure, ObjectMeta, Progress
from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.api.references import LabelSelector, TargetRef
from safehold.api.target import BackupTarget, ClusterBackupTarget
from safehold.api.vmbackup import VMBackup
from safehold.api.vmrestore import VMRestore

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "BackupPolicy",
    "BackupTarget",
    "ClusterBackupPolicy",
    "ClusterBackupTarget",
    "Condition",
    "Failure",
    "LabelSelector",
    "ObjectMeta",
    "Progress",
    "TargetRef",
    "VMBackup",
    "VMRestore",
]
