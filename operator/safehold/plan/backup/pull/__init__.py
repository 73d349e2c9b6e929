"""The capture by KubeVirt's own backup (VirtualMachineBackup, pull mode): one more way than a snapshot."""
