"""What a restore will do, worked out before it does anything: `status.plan` of a VMRestore."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import (
    MAX_VOLUMES,
    ApiModel,
    Bytes,
    Count,
    NamespaceName,
    Sentence,
    Time,
    Word,
    list_map,
    rules,
)
from safehold.api.vmbackup import ReachedLevel

ChangeAction = Literal["Create", "Change", "Replace", "Delete"]
Severity = Literal["Blocks", "Warns"]
PlannedPath = Literal["Snapshot", "Delta", "Full"]
MAX_CHANGES = 2048
"""Five objects of each of 256 volumes, and some hundred that the VM needs."""
MAX_CONFLICTS = 256
ObjectName = Annotated[str, Field(max_length=317)]

DRY_RUN_ONCE = rules(
    ("self == oldSelf || oldSelf", "dryRun goes from true to false, once: the plan is then carried out"),
)
"""Of the field: nothing that is carried out becomes a dry run again."""


class PlannedVolume(ApiModel):
    """One volume that will be filled."""

    name: Word
    """The VM's name of the volume."""
    path: PlannedPath = "Full"
    """How it will come to its content: from the point's own snapshot or from a snapshot of the volume that is replaced,
    with what differs fetched; or Full: everything is fetched. What goes before the restore begins is fetched instead.
    """
    path_reason: Sentence | None = None
    """Why not by a quicker path."""
    claim_name: ObjectName
    """The claim that it will be handed to."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the new volume."""
    capacity_bytes: Bytes
    """Size that will be asked for."""
    bytes_to_write: Bytes | None = None
    """At most this much is written: the disk's whole size, of which zeros are left out. Absent while unknown."""
    bytes_to_fetch: Bytes | None = None
    """At most this much is fetched from the target: the disk's whole size. It is less by zeros, by compression, and by
    what the path finds in a snapshot; `status.volumes[].bytesFetched` tells afterwards. Absent while unknown.
    """


class PlannedChange(ApiModel):
    """One object that will be created, changed or deleted."""

    action: ChangeAction
    """Replace: deleted, and created again under its name."""
    kind: Word
    """Its kind."""
    namespace: NamespaceName | None = None
    """Its namespace; absent for cluster-wide objects."""
    name: ObjectName | None = None
    """Its name; absent where Kubernetes makes it up."""
    temporary: bool = False
    """Whether it goes again before the restore ends."""
    why: Sentence
    """What for."""


class PlanConflict(ApiModel):
    """Something in the cluster that is in the restore's way."""

    severity: Severity
    """Blocks: the restore refuses to begin. Warns: it begins, and people should know."""
    reason: Word
    """One word for automation; docs/reasons.md lists all of them."""
    message: Sentence
    """What was found and what to do about it."""


class RestorePlan(ApiModel):
    """What the restore will do. With `dryRun` it stops here, and afterwards does exactly this, or nothing."""

    hash: Annotated[str, Field(max_length=64)]
    """Of the point, the volumes and the changes: two plans of the same hash do the same."""
    time: Time
    """When it was made."""
    restore_point: Word
    """The point."""
    capture_time: Time
    """What point in time it holds."""
    consistency: ReachedLevel | None = None
    """How well quiesced it was captured; absent while unknown."""
    verified: bool = False
    """Whether all of its disks were read when it was made, so that it rests on nobody's word about what had changed."""
    verified_time: Time | None = None
    """When: at the capture. Absent while it is not verified."""
    volumes: Annotated[list[PlannedVolume], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """What will be filled, and from where."""
    bytes_to_write: Bytes | None = None
    """Sum over the volumes; absent when one is unknown."""
    bytes_to_fetch: Bytes | None = None
    """Sum over the volumes; absent when one is unknown."""
    estimated_seconds: Count | None = None
    """From the measured speed of finished restores from the same target, else of the VM's namespace's last backups to
    it; absent while there are neither. `estimateBasis` says which it is.
    """
    estimate_basis: Sentence
    """What the estimate rests on, or why it is unknown."""
    changes: Annotated[list[PlannedChange], Field(max_length=MAX_CHANGES)] = Field(default_factory=list)
    """Everything that will be created, changed or deleted, in the order in which it first happens."""
    conflicts: Annotated[list[PlanConflict], Field(max_length=MAX_CONFLICTS)] = Field(default_factory=list)
    """What is in the way, blocking ones first."""

    @property
    def is_refused(self) -> bool:
        """Whether it could not be worked out: it says why, and nothing that could be carried out."""
        return not self.changes

    @property
    def blocking(self) -> list[PlanConflict]:
        """The conflicts with which the restore does not begin."""
        return [conflict for conflict in self.conflicts if conflict.severity == "Blocks"]
