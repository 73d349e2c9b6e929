"""What the planner may know of KubeVirt's own backup of a VM: nothing here depends on how KubeVirt words it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from safehold.plan.backup.capture_facts import ClaimFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerFacts:
    """A VirtualMachineBackupTracker of ours, and what we wrote on it about the last checkpoint that a point holds."""

    name: str
    uid: str
    vm: str
    latest: str | None
    """KubeVirt's last checkpoint, which it also moves on after backups that nobody has read."""
    latest_disks: tuple[str, ...]
    redefining: bool
    """Whether KubeVirt is still finding its checkpoint again, after a restart or a migration."""
    committed: str | None
    """The last checkpoint whose restore point is complete."""
    committed_instance: str | None
    """uid of the VirtualMachineInstance that ran then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDisk:
    """Where the export server gives one disk."""

    map_url: str
    data_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullBackupFacts:
    """The run's VirtualMachineBackup."""

    name: str
    uid: str
    owner_uid: str | None
    """Of the VMBackup that its labels name."""
    created: datetime
    deleting: bool
    state: Literal["Waiting", "Ready", "Complete", "Failed"]
    """Ready: it can be read. Complete also means one that was ended by its time or by somebody."""
    message: str
    """What KubeVirt says about the state."""
    incremental: bool
    checkpoint: str
    disks: tuple[str, ...]
    taken_at: datetime | None
    quiesced: bool
    quiesce_word: str
    quiesce_message: str
    served: Mapping[str, ServedDisk] = field(default_factory=dict)
    """By the VM's name of the volume."""
    ca: str = ""

    @property
    def readable(self) -> bool:
        """Whether a worker can read it now."""
        return self.state == "Ready" and not self.deleting


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """The VirtualMachineInstance. `tracking` is KubeVirt's word for how far changed block tracking is."""

    uid: str
    running: bool
    tracking: str
    backup_in_progress: str | None = None
    """The VirtualMachineBackup that KubeVirt is at, of whoever made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFacts:
    """All that the capture by KubeVirt's own backup depends on."""

    enabled: bool
    """Whether this installation has the engine, and the rights that it needs."""
    served: bool = False
    """Whether KubeVirt serves the kinds."""
    instance: InstanceFacts | None = None
    claims: "Mapping[str, ClaimFacts]" = field(default_factory=dict)
    """By the VM's name of the volume."""
    unreadable_claims: tuple[str, ...] = ()
    """Volumes whose claim is none of a CSI driver."""
    tracker: TrackerFacts | None = None
    backup: PullBackupFacts | None = None
    rivals: tuple[str, ...] = ()
    """Other VirtualMachineBackups of the VM that have not ended."""
