"""BackupPolicy and ClusterBackupPolicy: which VMs are backed up, when, how well quiesced, and where to."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import Count, Resource, Status, Time, rules
from safehold.api.changed_blocks import ChangedBlocks
from safehold.api.consistency import Consistency
from safehold.api.forecast import Forecast
from safehold.api.hooks import APPLICATION_NEEDS_HOOKS, Hooks
from safehold.api.objectives import Objectives, ObjectivesStatus
from safehold.api.references import LabelSelector, TargetRef
from safehold.api.retention import Retention, RetentionPreview
from safehold.api.timing import TIMING_RULES, Timing, TimingStatus
from safehold.api.volumes import Volumes

DeletionPolicy = Literal["Retain", "Delete"]
MAX_MACHINE_NAMES = 10
MachineNames = Annotated[list[Annotated[str, Field(max_length=317)]], Field(max_length=MAX_MACHINE_NAMES)]

_VALIDATIONS = "x-kubernetes-validations"
_RULES: dict[str, Any] = {_VALIDATIONS: [*TIMING_RULES[_VALIDATIONS], *APPLICATION_NEEDS_HOOKS[_VALIDATIONS]]}
CLUSTER_TARGET_ONLY = (
    "self.kind == 'ClusterBackupTarget'",
    "a ClusterBackupPolicy writes to a ClusterBackupTarget: a BackupTarget serves only its own namespace",
)


class BackupPolicySpec(Timing):
    """Which VMs of this namespace are backed up, when, and where to."""

    model_config = ConfigDict(json_schema_extra=_RULES)

    selector: LabelSelector | None = None
    """VirtualMachines by their labels; absent: all. A VM with the label `safehold.dev/exclude=true` is left out."""
    target_ref: TargetRef
    """Where to."""
    consistency: Consistency = Consistency()
    """How well quiesced a capture must be."""
    volumes: Volumes = Volumes()
    """Which disks of a VM are backed up; absent: all."""
    memory_dump: bool = False
    """Whether each restore point also gets a copy of the guest's memory, for forensics; no VM is started from it."""
    changed_blocks: ChangedBlocks = ChangedBlocks()
    """How changed blocks are found."""
    hooks: Hooks = Hooks()
    """Commands in pods beside the VM, around the capture."""
    objectives: Objectives = Objectives()
    """How recent a VM's newest restore point has to be; the condition `ObjectivesMet` says whether all are."""
    retention: Retention | None = None
    """How long the restore points stay, except those of tiers with their own; absent: until somebody forgets them."""
    deletion_policy: DeletionPolicy = "Retain"
    """What the VMBackups of this policy do with their restore point when a person deletes them."""


class ClusterBackupPolicySpec(BackupPolicySpec):
    """Which VMs of which namespaces are backed up, when, and where to."""

    namespace_selector: LabelSelector
    """Namespaces by their labels; `{}` selects all."""
    target_ref: Annotated[TargetRef, Field(json_schema_extra=rules(CLUSTER_TARGET_ONLY))]
    """Where to: a ClusterBackupTarget."""


class BackupPolicyStatus(ObjectivesStatus, TimingStatus, Status):
    """What became of the policy's runs."""

    of_others: ClassVar[frozenset[str]] = frozenset({"retentionPreview"})

    last_schedule_time: Time | None = None
    """The run time for which VMBackups were created last."""
    next_schedule_time: Time | None = None
    """When the next run may start; absent while suspended."""
    last_successful_time: Time | None = None
    """The run time of the last run in which every VM's backup succeeded."""
    active_backups: Count | None = None
    """How many VMBackups of this policy are under way."""
    failed_machines: Count | None = None
    """In how many VMs the last run failed."""
    failed_machine_names: MachineNames = Field(default_factory=list)
    """The first ten of them; `namespace/name` where the policy is a cluster's."""
    skipped_machine_names: MachineNames = Field(default_factory=list)
    """The first ten VMs that the last run left out, their earlier backup being active then."""
    forecast: Forecast | None = None
    """When its runs will be finished, and which VMs are likely to be late."""
    retention_preview: RetentionPreview | None = None
    """What `retention` will delete next, as the last maintenance of the target foretold it."""


class BackupPolicy(Resource):
    """A schedule of backups for the VMs of one namespace."""

    kind: str = "BackupPolicy"
    spec: BackupPolicySpec
    status: BackupPolicyStatus = Field(default_factory=BackupPolicyStatus)


class ClusterBackupPolicy(Resource):
    """A schedule of backups for the VMs of many namespaces."""

    kind: str = "ClusterBackupPolicy"
    spec: ClusterBackupPolicySpec
    status: BackupPolicyStatus = Field(default_factory=BackupPolicyStatus)
