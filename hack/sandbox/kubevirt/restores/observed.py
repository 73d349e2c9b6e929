"""What the restore controller knows when it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import annotations_of
from sandbox.kubevirt.names import LAST_RESTORE_UID


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One restore and everything around it, as the API server shows it now."""

    restore: Object
    snapshot: Object | None
    content: Object | None
    target: Object | None
    target_runs: bool
    """True while the target has an instance, whatever its phase."""
    claims: Mapping[str, Object]
    """By name: those of the restored claims that exist."""
    restore_sizes: Mapping[str, str]
    """VolumeSnapshot name → status.restoreSize."""
    late_claims: frozenset[str] = frozenset()
    """Claims that are bound only when a pod uses them (WaitForFirstConsumer)."""

    @property
    def name(self) -> str:
        """The restore's name."""
        return str(self.restore["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The namespace of the restore and of everything that it touches."""
        return str(self.restore["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        """The restore's uid."""
        return str(self.restore["metadata"]["uid"])

    @property
    def mark(self) -> str:
        """What restored claims and VMs carry as lastRestoreUID."""
        return f"{self.name}-{self.uid}"

    @property
    def status(self) -> Object:
        """The restore's status, empty at first."""
        return dict(self.restore.get("status") or {})

    @property
    def restores(self) -> Objects:
        """status.restores: volume, claim and VolumeSnapshot of each restored volume."""
        return list(self.status.get("restores") or [])

    @property
    def target_name(self) -> str:
        """The name of the VM to restore."""
        return str(self.restore["spec"]["target"]["name"])

    @property
    def target_updated(self) -> bool:
        """True once the target carries this restore's mark."""
        return self.target is not None and annotations_of(self.target).get(LAST_RESTORE_UID) == self.mark

    def is_restored(self, claim: Object) -> bool:
        """True if this restore made the claim."""
        return annotations_of(claim).get(LAST_RESTORE_UID) == self.mark
