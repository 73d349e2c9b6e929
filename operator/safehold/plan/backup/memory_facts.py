"""What the planner of a memory dump may know, and what it may do; the same kind of values as `facts` and `steps`."""

from collections.abc import Mapping
from dataclasses import dataclass

MEMORY_VOLUME = "safehold-memory-dump"
"""The dump's name among a restore point's volumes: always the same, so that a point is compared with the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpRequest:
    """KubeVirt's record of one memory dump: `status.memoryDumpRequest` of the VM."""

    claim: str
    phase: str
    """Associating, InProgress, Unmounting, Completed, Dissociating or Failed."""
    file_name: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpClaim:
    """The claim for the dump, in the VM's namespace."""

    uid: str
    ours: bool
    """Whether it carries the labels of this very run."""
    deleting: bool
    refusal: str = ""
    """What KubeVirt answered to the wish for a dump, where it refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpSnapshot:
    """The VolumeSnapshot of the dump's claim."""

    bound: bool
    """Whether its content can be read."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """What there is of the VM and of its dump. `guest_bytes` is None for a VM that does not run."""

    guest_bytes: int | None
    locked_by: str | None
    """A VirtualMachineSnapshot that is being taken: KubeVirt lets nobody change the VM meanwhile."""
    request: DumpRequest | None
    attached: bool
    """Whether the VM or its instance still has the claim as a volume."""
    claim: DumpClaim | None
    snapshot: DumpSnapshot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDumpRef:
    """A memory dump of ours that a VM is still associated with."""

    namespace: str
    vm: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantObject:
    """An object of a run in a VM's namespace."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDumpClaim:
    """Create the claim that KubeVirt writes the dump to: it must be a file system in the VM's namespace."""

    namespace: str
    name: str
    size_bytes: int
    storage_class: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMemoryDump:
    """Ask KubeVirt for the dump; what it refuses is noted on the claim."""

    namespace: str
    vm: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMemoryDump:
    """Have KubeVirt detach the claim and forget the dump."""

    namespace: str
    vm: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDumpClaim:
    """Snapshot the complete dump, so that it reaches the worker in the same way as the disks."""

    namespace: str
    name: str
    claim: str
    snapshot_class: str | None
    labels: Mapping[str, str]


MemoryStep = CreateDumpClaim | RequestMemoryDump | RemoveMemoryDump | SnapshotDumpClaim
