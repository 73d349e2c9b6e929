"""What the snapshot controller knows when it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import finalizers_of
from sandbox.kubevirt.conditions import condition_of, is_true
from sandbox.kubevirt.durations import parse_duration
from sandbox.kubevirt.names import SOURCE_FINALIZER
from sandbox.kubevirt.volumes import claim_names, template_volumes

DEFAULT_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One snapshot and everything around it, as the API server and the guest show it now."""

    snapshot: Object
    vm: Object | None
    vmi: Object | None
    content: Object | None
    volume_snapshots: Mapping[str, Object]
    """By name: those of this snapshot that exist."""
    claims: Mapping[str, Object]
    """By name: the VM's claims that exist."""
    snapshot_classes: Mapping[str, str | None]
    """Claim name → VolumeSnapshotClass, None if its volume cannot be snapshotted."""
    started_spec: Object | None = None
    """The VM's spec when its instance was started, which an online snapshot keeps."""
    pods_in_use: int = 0
    """Pods that use the claims although the VM does not run."""
    frozen: bool = False
    """True while the guest is frozen."""
    state_volumes: Sequence[Object] = ()
    """TPM and EFI state, which is none of the VM's own volumes."""

    @property
    def uid(self) -> str:
        """The snapshot's uid, from which all child names follow."""
        return str(self.snapshot["metadata"]["uid"])

    @property
    def status(self) -> Object:
        """The snapshot's status, empty at first."""
        return dict(self.snapshot.get("status") or {})

    @property
    def content_status(self) -> Object:
        """The content's status, empty at first."""
        return dict((self.content or {}).get("status") or {})

    @property
    def in_progress(self) -> bool:
        """True from the first status until the outcome."""
        return self.status.get("phase") == "InProgress"

    @property
    def online(self) -> bool:
        """True if the VM has an instance that has not ended."""
        phase = ((self.vmi or {}).get("status") or {}).get("phase")
        return self.vmi is not None and phase not in ("Succeeded", "Failed")

    @property
    def paused(self) -> bool:
        """True if the guest's CPUs stand still."""
        return is_true(self.vmi, "Paused")

    @property
    def freezable(self) -> bool:
        """True if an agent is known and the guest runs. KubeVirt looks at the condition's presence only."""
        return self.online and condition_of(self.vmi, "AgentConnected") is not None and not self.paused

    @property
    def locked(self) -> bool:
        """True once this snapshot holds the VM: both its word and the finalizer are there."""
        return self.named_in_vm and SOURCE_FINALIZER in finalizers_of(self.vm or {"metadata": {}})

    @property
    def named_in_vm(self) -> bool:
        """True if the VM's status says that this snapshot is in progress."""
        return bool(self.holder == self.snapshot["metadata"]["name"])

    @property
    def holder(self) -> str | None:
        """The snapshot that holds the VM now."""
        name = ((self.vm or {}).get("status") or {}).get("snapshotInProgress")
        return str(name) if name else None

    @property
    def volumes(self) -> Objects:
        """The VM's volumes, with its state."""
        return [*template_volumes(self.vm), *self.state_volumes] if self.vm else []

    @property
    def candidates(self) -> dict[str, str]:
        """Volume name → claim name of all volumes that could be in a snapshot."""
        return claim_names(self.volumes)

    @property
    def deadline_seconds(self) -> float:
        """How long the snapshot may take, 0 for ever."""
        text = self.snapshot["spec"].get("failureDeadline")
        return DEFAULT_DEADLINE_SECONDS if text is None else parse_duration(text)

    def seconds_left(self, now: datetime) -> float | None:
        """Until the deadline, negative after it; None if there is no deadline."""
        if self.deadline_seconds == 0:
            return None
        created = datetime.fromisoformat(self.snapshot["metadata"]["creationTimestamp"])
        return self.deadline_seconds - (now - created).total_seconds()
