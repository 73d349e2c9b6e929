"""VirtualMachineSnapshot and VirtualMachineSnapshotContent."""
