"""Safehold's kinds, and the rest of what these tests look at beside the sandbox's own."""

from sandbox.cluster.kinds import Kind

GROUP, VERSION = "safehold.dev", "v1alpha1"

BACKUP_TARGET = Kind(GROUP, VERSION, "backuptargets", "BackupTarget")
CLUSTER_BACKUP_TARGET = Kind(GROUP, VERSION, "clusterbackuptargets", "ClusterBackupTarget", namespaced=False)
BACKUP_POLICY = Kind(GROUP, VERSION, "backuppolicies", "BackupPolicy")
CLUSTER_BACKUP_POLICY = Kind(GROUP, VERSION, "clusterbackuppolicies", "ClusterBackupPolicy", namespaced=False)
VM_BACKUP = Kind(GROUP, VERSION, "vmbackups", "VMBackup")
VM_RESTORE = Kind(GROUP, VERSION, "vmrestores", "VMRestore")
ALL = (BACKUP_TARGET, CLUSTER_BACKUP_TARGET, BACKUP_POLICY, CLUSTER_BACKUP_POLICY, VM_BACKUP, VM_RESTORE)
