"""Names that KubeVirt shares with everyone who looks at its objects, and the sandbox's own annotation."""

VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
VMI_FOREGROUND_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
OBSERVED_VERSIONS = {
    "kubevirt.io/latest-observed-api-version": "v1",
    "kubevirt.io/storage-observed-api-version": "v1",
}
VM_GENERATION = "kubevirt.io/vm-generation"
CREATED_BY = "kubevirt.io/created-by"
NODE_NAME = "kubevirt.io/nodeName"

SNAPSHOT_FINALIZER = "snapshot.kubevirt.io/vmsnapshot-protection"
CONTENT_FINALIZER = "snapshot.kubevirt.io/vmsnapshotcontent-protection"
SOURCE_FINALIZER = "snapshot.kubevirt.io/snapshot-source-protection"
SOURCE_NAME = "snapshot.kubevirt.io/source-vm-name"
SOURCE_NAMESPACE = "snapshot.kubevirt.io/source-vm-namespace"

RESTORE_FINALIZER = "snapshot.kubevirt.io/vmrestore-protection"
RESTORE_NAME = "restore.kubevirt.io/name"
LAST_RESTORE_UID = "restore.kubevirt.io/lastRestoreUID"
RESTORE_SOURCE_NAME = "restore.kubevirt.io/source-vm-name"
RESTORE_SOURCE_NAMESPACE = "restore.kubevirt.io/source-vm-namespace"

SNAPSHOT_COMPONENT = "snapshot-controller"
RESTORE_COMPONENT = "restore-controller"
MACHINE_COMPONENT = "virtualmachine-controller"

FAULT = "sandbox.safehold.dev/fault"
"""On a VirtualMachine or its VMI: a comma-separated list of the guest's faults (agent-absent, agent-hangs,
freeze-fails, freeze-slow=SECONDS, vss-limit=SECONDS); removing it ends them."""
NODE = "sandbox-hypervisor"
"""The node on which all guests run. It belongs to no kubelet: nobody else starts the launcher pods."""
OTHER_NODE = "sandbox-hypervisor-2"
"""Where guests are after a migration, as the cluster sees it: both nodes are this machine."""
MIGRATION_JOB = "kubevirt.io/migrationJobUID"
HELD = "sandbox.safehold.dev/held"
"""On a VirtualMachineInstanceMigration: it goes on, and does not end, while this is there."""

CONTENT_TYPE = "cdi.kubevirt.io/storage.contentType"
EXPORT_SERVICE = "kubevirt.io.virt-export-service"
EXPORT_COMPONENT = "export-controller"
BACKUP_FINALIZER = "backup.kubevirt.io/vmbackup-protection"
BACKUP_COMPONENT = "backup-controller"
BACKUP_SPEED = "sandbox.safehold.dev/backup-bytes-per-second"
"""On a VirtualMachine: how fast its pushed backups may be, so that there is time to abort one."""
