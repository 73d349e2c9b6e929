"""VMRestore: bring a VM back, in place or as a new one."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import (
    MAX_VOLUMES,
    ApiModel,
    Count,
    Failure,
    Name,
    NamespaceName,
    Progress,
    Resource,
    Sentence,
    Status,
    Time,
    Uid,
    Word,
    immutable_except,
    list_map,
    rules,
)
from safehold.api.durations import Duration
from safehold.api.restore_options import (
    OPTION_RULES,
    ChosenVolumes,
    Identity,
    Mappings,
    RestoreLabels,
    RestorePatches,
)
from safehold.api.restore_plan import DRY_RUN_ONCE, RestorePlan
from safehold.api.restore_point import RestorePoint
from safehold.api.restore_source import RestoreSource
from safehold.api.restored_volumes import VolumeRestore
from safehold.api.undoing import (
    KEPT_FOR,
    UNDO_OF_A_COMPLETED,
    UNDO_ONCE,
    UNDO_RULES,
    ReadinessPolicy,
    SafetySnapshot,
)

RestoreMode = Literal["InPlace", "NewVM", "VolumesOnly"]
RunStrategyAfter = Literal["AsBackedUp", "Halted", "Always"]
ClaimNames = Literal["Generated", "AsBackedUp"]
ExistingObjects = Literal["Keep", "Overwrite"]


class RestoreTarget(ApiModel):
    """What the point is restored to, always in the VMRestore's own namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.mode != 'NewVM' || has(self.name)", "name is needed with mode NewVM"),
            (
                "self.mode != 'VolumesOnly' || has(self.name)",
                "name is needed with mode VolumesOnly: the claims are called NAME-VOLUME",
            ),
            (
                "!has(self.claimNames) || self.mode == 'NewVM'",
                "claimNames goes with mode NewVM: in place the claims keep their names",
            ),
            (
                "!has(self.readinessPolicy) || self.mode == 'InPlace'",
                "readinessPolicy goes with mode InPlace: a new VM does not run yet",
            ),
        )
    )

    mode: RestoreMode
    """InPlace: the VM gets its volumes back and keeps its definition. NewVM: another VM is created.

    VolumesOnly: claims are created, and no VM.
    """
    name: Name | None = None
    """The VM's name. Needed with NewVM; with InPlace the source VM's name is the default.

    With VolumesOnly the beginning of the claims' names: the claim of volume `data` is called `NAME-data`.
    """
    claim_names: ClaimNames | None = None
    """How the claims of a new VM are called. Generated (the default): after the VM and its volumes.

    With AsBackedUp the names must be free, and the VM keeps its dataVolumeTemplates, whose DataVolumes adopt the
    restored claims in place of importing them again.
    """
    readiness_policy: ReadinessPolicy | None = None
    """With InPlace, what to do about a VM that runs. StopTarget (the default): stop it, and start it afterwards.

    FailImmediate: fail. WaitGracePeriod: fail if it still runs after 5 minutes. WaitEventually: wait.
    """


class VMRestoreSpec(ApiModel):
    """What is restored, and to where. Immutable, except `dryRun` and `undo`."""

    model_config = ConfigDict(
        json_schema_extra=immutable_except(
            "dryRun",
            "undo",
            message="spec is immutable: a VMRestore is one run; create another one",
            also=(
                (
                    "!has(self.runStrategy) || self.target.mode == 'NewVM'",
                    "runStrategy goes with mode NewVM: in place the VM is started again if it ran before",
                ),
                (
                    "!has(self.existingObjects) || self.target.mode == 'NewVM'",
                    "existingObjects goes with mode NewVM: in place nothing but volumes is restored",
                ),
                *OPTION_RULES,
                *UNDO_RULES,
            ),
        )
    )

    source: RestoreSource
    """Which restore point."""
    target: RestoreTarget
    """What it is restored to."""
    service_account_name: Name | None = None
    """A ServiceAccount of this namespace, with whose rights the restore creates objects in it.

    Needed when the point lies in a BackupTarget, whose content the namespace's own users can write.
    """
    run_strategy: RunStrategyAfter | None = None
    """How a new VM is left. AsBackedUp (the default): with the run strategy that it had. Halted. Always: started."""
    existing_objects: ExistingObjects | None = None
    """What becomes of Secrets, ConfigMaps and the like that a new VM needs and that exist with other content.

    Keep (the default) leaves them as they are. Overwrite replaces them, and keeps what was there in a Secret, which
    `status.replacedObjectsSecret` names. A VM or a claim is never overwritten.
    """
    safety_snapshot: bool | None = None
    """With InPlace, whether a VirtualMachineSnapshot is taken of the stopped VM first; true unless it says false.

    It is kept as long as the replaced volumes are. Where none can be taken the restore goes on and says so.
    """
    keep_old_volumes_for: Duration | None = None
    """With InPlace, how long the replaced volumes are kept after the end, and `undo` is possible; 7d unless it is set.

    Afterwards they are removed as their own reclaim policy says. 0s: at once.
    """
    undo: Annotated[bool, Field(json_schema_extra=UNDO_ONCE)] = False
    """Set to true after a restore in place has completed: the VM gets the replaced volumes back.

    It works until `status.undoUntil`. The restored volumes are kept for as long again.
    """
    ttl_seconds_after_finished: Count | None = None
    """How long after its end this object is deleted, but never before `status.undoUntil`; absent: never.

    An object that Argo CD or Flux tracks is not deleted: they would create it anew, and with it the restore.
    """

    volumes: ChosenVolumes | None = None
    """Only these volumes of the point, by the VM's names of them; absent: all. In place the others stay untouched.

    A new VM is made without the others.
    """
    mappings: Mappings | None = None
    """StorageClasses and networks that are called otherwise here."""
    identity: Identity | None = None
    """What a new VM keeps of what tells it from its original."""
    labels: RestoreLabels | None = None
    """Further labels of a new VM and its claims."""
    patches: RestorePatches | None = None
    """Changes to the objects of a new VM, before they are created."""
    dry_run: Annotated[bool, Field(json_schema_extra=DRY_RUN_ONCE)] = False
    """Whether the restore only works out its `status.plan` and stops, in phase Planned, having changed nothing.

    Set to false afterwards, it does exactly what the plan says, or stops with the reason PlanChanged. A plan that could
    not be worked out, and says only why, is made anew then.
    """

    @property
    def kept_for(self) -> Duration:
        """How long replaced volumes are kept."""
        return self.keep_old_volumes_for or KEPT_FOR


class RestoredBackup(ApiModel):
    """The VMBackup whose point was chosen."""

    namespace: NamespaceName
    """Its namespace."""
    name: Name
    """Its name."""
    uid: Uid
    """Its uid."""


class RestoredVM(ApiModel):
    """The VM that is restored."""

    name: Name
    """Its name."""
    uid: Uid | None = None
    """Its uid; absent until it exists."""
    original_run_strategy: Word | None = None
    """How it was run before it was stopped for the restore; it is run so again at the end."""
    was_running: bool | None = None
    """In place: whether it ran when the restore began, which the run strategy Manual does not tell."""


class RestoreSummary(ApiModel):
    """The VM and the numbers of this status as people read them; `kubectl get` shows them."""

    vm: Name | None = None
    """The VM that is restored, from the beginning on; absent with VolumesOnly."""
    progress: Word | None = None
    """While the transfer runs: percent, and the time that is left."""
    restored: Word | None = None
    """Bytes of all volumes."""
    duration: Word | None = None
    """From `startTime` to `completionTime`."""


class VMRestoreStatus(Status):
    """What was chosen, and how far it is."""

    restore_point: Word | None = None
    """Id of the restore point that was chosen."""
    point: RestorePoint | None = None
    """What is known of it; everything after the choice goes by this record."""
    backup: RestoredBackup | None = None
    """The VMBackup that told of it."""
    plan: RestorePlan | None = None
    """What the restore does, as it was worked out before it began."""
    start_time: Time | None = None
    """When the restore began."""
    completion_time: Time | None = None
    """When it ended, well or badly."""
    progress: Progress | None = None
    """How far the transfer is."""
    summary: RestoreSummary | None = None
    """The numbers for people."""
    inquiry_job: Name | None = None
    """The worker Job that looked into the bucket before anything was decided, where one was needed."""
    job_name: Name | None = None
    """The worker Job in the operator's namespace."""
    vm: RestoredVM | None = None
    """The VM that is restored."""
    volumes: Annotated[list[VolumeRestore], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """The volumes, and the record of their hand-over."""
    needed_objects: Annotated[list[Sentence], Field(max_length=256)] = Field(default_factory=list)
    """Kind and name of what the new VM needs; recorded before any of it is created."""
    kept_objects: Annotated[list[Sentence], Field(max_length=256)] = Field(default_factory=list)
    """Those of them that existed with other content, and were left as they are."""
    replaced_objects: Annotated[list[Sentence], Field(max_length=256)] = Field(default_factory=list)
    """Those of them that existed with other content, and were replaced."""
    replaced_objects_secret: Name | None = None
    """The Secret of this namespace that holds what was replaced. It goes with the VMRestore."""
    missing_objects: Annotated[list[Sentence], Field(max_length=16)] = Field(default_factory=list)
    """Cluster-wide objects that the VM names and that are not here; of those that have one, the VM has a revision."""
    safety_snapshot: SafetySnapshot | None = None
    """What became of the snapshot of the VM before its volumes were replaced."""
    undo_until: Time | None = None
    """Until when the replaced volumes are kept, and `spec.undo` works; after an undo, the restored ones are."""
    undo_start_time: Time | None = None
    """When the undo began."""
    undo_end_time: Time | None = None
    """When the undo ended, well or badly."""
    removal_time: Time | None = None
    """When the kept volumes and the safety snapshot were removed."""
    failure: Failure | None = None
    """Why the restore failed."""


class VMRestore(Resource):
    """One restore of one VirtualMachine."""

    model_config = ConfigDict(json_schema_extra=rules(UNDO_OF_A_COMPLETED))

    kind: str = "VMRestore"
    spec: VMRestoreSpec
    status: VMRestoreStatus = Field(default_factory=VMRestoreStatus)
