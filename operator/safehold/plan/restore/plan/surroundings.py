"""What a plan looks at beyond the VM and its volumes. Read once, before a restore begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A ResourceQuota: resource name → amount, as `status.hard` and `status.used` have it, in whole units or bytes."""

    namespace: str
    name: str
    hard: Mapping[str, int]
    used: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressHolder:
    """A VM, or an instance without one, whose definition has a MAC address."""

    namespace: str
    name: str
    address: str
    """In lower case, with colons."""
    runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRestore:
    """A restore from the same target that went well."""

    bytes_restored: int
    transfer_seconds: float
    """What its worker took for all volumes."""
    total_seconds: float
    """From its beginning to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBackup:
    """A backup to the same target that went well."""

    bytes_read: int
    transfer_seconds: float
    """What its worker took for all volumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The cluster around a restore that has not begun."""

    quotas: Sequence[Quota] = ()
    """Of the restore's namespace and of the operator's."""
    served: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Group and version → kinds, of every one that the objects to create are written in; none: not served."""
    existing: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """Kind and name (or `namespace/name`) of what the VM names: whether it is there."""
    dependencies: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Kind and name → object, of what has the names of objects that would be created."""
    addresses: Sequence[AddressHolder] = ()
    """Who has the MAC addresses that the new VM would have."""
    claim_sets: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """StorageClass → (access mode, volume mode) that CDI says it can do; a class of which it says nothing is absent."""
    snapshot_drivers: frozenset[str] = frozenset()
    """CSI drivers that have a VolumeSnapshotClass."""
    vm_metadata: Mapping[str, Any] = field(default_factory=dict)
    """In place: the VM's `metadata`."""
    past: Sequence[PastRestore] = ()
    """Restores from the same target that went well, the newest first."""
    past_backups: Sequence[PastBackup] = ()
    """Where there is no such restore: backups of the VM's namespace to the target, the newest first."""
