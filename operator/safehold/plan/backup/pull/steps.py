"""What a run may do to pull from KubeVirt's own backup. `safehold.kube.backup.pull.hands` carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPull:
    """Create the tracker, the scratch claim, the token and the VirtualMachineBackup, as far as they are not there."""

    namespace: str
    name: str
    """Of all of them but the tracker."""
    vm: str
    vm_uid: str
    tracker: str
    force_full: bool
    scratch_bytes: int
    scratch_storage_class: str | None
    ttl_seconds: int
    """After which KubeVirt ends the backup by itself."""
    watch_seconds: int
    """How long the guest's freeze is watched for."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCheckpoint:
    """Write on the tracker which checkpoint the restore point holds that is complete now."""

    namespace: str
    tracker: str
    tracker_uid: str
    checkpoint: str
    instance_uid: str


PullStep = StartPull | CommitCheckpoint
