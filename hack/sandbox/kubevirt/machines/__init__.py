"""VirtualMachine and VirtualMachineInstance, and the guests that they run."""
