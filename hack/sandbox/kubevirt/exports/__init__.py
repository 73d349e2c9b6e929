"""VirtualMachineExport: volumes, manifests and backups over HTTPS, guarded by a token."""
