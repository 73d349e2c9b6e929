"""What one run that is over tells about the next ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

VMKey = tuple[str, str]
"""Namespace and name of a VirtualMachine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A backup that made a restore point: how long it held its place, and had waited for it; what it moved in bytes."""

    vm: VMKey
    vm_uid: str
    started: datetime
    seconds: float
    waited: float
    """Seconds from the VMBackup's creation to its start."""
    read: int
    uploaded: int


def past_run(found: Mapping[str, Any]) -> PastRun | None:
    """What a VMBackup, as the API server answers it, tells; None where it made no point, or is not over.

    It is read without a model: at the start a controller sees tens of thousands.
    """
    metadata, status = found["metadata"], found.get("status") or {}
    started, ended = _time(status.get("startTime")), _time(status.get("completionTime"))
    if started is None or ended is None or not status.get("restorePoint") or status.get("failure"):
        return None
    created = _time(metadata.get("creationTimestamp")) or started
    return PastRun(
        vm=(metadata.get("namespace") or "", found["spec"]["vm"]["name"]),
        vm_uid=status.get("vmUID") or "",
        started=started,
        seconds=max(0.0, (ended - started).total_seconds()),
        waited=max(0.0, (started - created).total_seconds()),
        read=status.get("bytesRead") or 0,
        uploaded=status.get("bytesUploaded") or 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSize:
    """The size of a VM's disks, as a run saw it that made no point yet, or never will."""

    vm: VMKey
    size: int
    seen: datetime


def known_size(found: Mapping[str, Any]) -> KnownSize | None:
    """What a VMBackup tells about the VM's disks; None before it has looked at them."""
    metadata, status = found["metadata"], found.get("status") or {}
    volumes = status.get("volumes") or ()
    size = sum(volume.get("capacityBytes") or 0 for volume in volumes if volume.get("role", "Disk") == "Disk")
    seen = _time(status.get("startTime"))
    if not size or seen is None:
        return None
    return KnownSize(vm=(metadata.get("namespace") or "", found["spec"]["vm"]["name"]), size=size, seen=seen)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
