"""What the volumes of a restore point are to the VM, by their names."""

from safehold.api.vmbackup import VolumeRole
from safehold.plan.backup.memory_facts import MEMORY_VOLUME
from safehold.plan.machine_state import STATE_VOLUME


def role_of(volume: str) -> VolumeRole:
    """A disk, unless it has one of the two names that no volume of a VM's can be confused with."""
    if volume == MEMORY_VOLUME:
        return "MemoryDump"
    return "State" if volume == STATE_VOLUME else "Disk"
