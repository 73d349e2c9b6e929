"""The sandbox's KubeVirt: virtual machines that are real guests, with their snapshots and restores."""
