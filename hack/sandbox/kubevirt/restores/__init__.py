"""VirtualMachineRestore."""
