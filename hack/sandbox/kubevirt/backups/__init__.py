"""VirtualMachineBackup and VirtualMachineBackupTracker: backups of running guests by QEMU's own change tracking."""
