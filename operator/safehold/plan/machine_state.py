"""The volume in which KubeVirt keeps a VM's TPM and EFI variables: none of its disks, and yet a part of the machine."""

STATE_VOLUME = "safehold-vm-state"
"""Its name among a restore point's volumes: always the same, so that a point is compared with the one before."""
STATE_PREFIX = "persistent-state-for"
"""KubeVirt's label on the claim, with the VM's name as value; before KubeVirt 1.4 the beginning of the claim's name.

In snapshots the volume is called so too: `persistent-state-for-VM`.
"""


def captured_name(vm: str) -> str:
    """What KubeVirt calls the volume in a snapshot, and what it called the claim before 1.4."""
    return f"{STATE_PREFIX}-{vm}"


def state_labels(vm: str) -> dict[str, str]:
    """The label by which KubeVirt finds a VM's claim."""
    return {STATE_PREFIX: vm}
