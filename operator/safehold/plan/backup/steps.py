"""What a backup may do to the cluster, as values. `safehold.kube.backup.hands` carries them out, twice if need be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from safehold.api.capture import SnapshotHandle
from safehold.api.hooks import Hook, HookPhase
from safehold.plan.backup.capture_facts import ContentPolicy, VolumeMode
from safehold.plan.backup.group.steps import GroupStep
from safehold.plan.backup.memory_facts import MemoryStep
from safehold.plan.backup.pull.steps import PullStep
from safehold.plan.target.use import TargetFacts
from safehold.run import BackupRun, ForgetRun

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMachine:
    """Read the VM's manifest and all that it depends on, and keep them for the run, in a Secret of ours."""

    namespace: str
    vm: str
    secret: str
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Watch the guest's freeze state, and create the VirtualMachineSnapshot."""

    namespace: str
    name: str
    vm: str
    deadline_seconds: int
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolumeSnapshot:
    """A VolumeSnapshot of our own in the VM's namespace."""

    name: str
    claim: str
    class_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeVolumeSnapshots:
    """Create these VolumeSnapshots all at once, owned by the VMBackup of the same namespace."""

    namespace: str
    backup: str
    backup_uid: str
    snapshots: tuple[NewVolumeSnapshot, ...]
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StartHook:
    """Begin an application hook; any other hook of the run is given up. Facts tell of its end."""

    namespace: str
    backup: str
    """The VMBackup that is looked at again when the hook has ended."""
    run: str
    phase: HookPhase
    hook: Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw:
    """Unfreeze a guest that KubeVirt left frozen."""

    namespace: str
    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldContent:
    """Set KubeVirt's content to Retain and mark it as held by this run."""

    content: str
    resource_version: str
    policy: ContentPolicy
    """The policy before."""
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePair:
    """Create our own content and snapshot for a recorded handle."""

    handle: SnapshotHandle
    annotations: Labels
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class RebindPair:
    """Clear a stale uid in our content's reference, so that it binds to our snapshot of that name again."""

    content: str
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClone:
    """Create the claim from which the worker reads."""

    name: str
    pair: str
    mode: VolumeMode
    size_bytes: int
    storage_class: str | None
    access_modes: tuple[str, ...]
    labels: Labels


@dataclass(frozen=True, slots=True)
class PullToken:
    """The Secret in the VM's namespace that holds the token of KubeVirt's backup."""

    namespace: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepBase:
    """Make our content the owner of its handle: it outlives the run, and deletes the physical snapshot when it goes."""

    content: str
    uid: str
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBackup:
    """Let the VMBackup be found by its VM; those of policies have the label from the beginning."""

    namespace: str
    name: str
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StartBackup:
    """Start the worker. `run.machine` is empty here: the kept manifests are filled in when the Secret is written."""

    job: str
    machine_secret: str
    run: BackupRun
    claims: Mapping[str, str]
    """Volume name to the name of its claim, of those that are mounted."""
    node_affinity: Mapping[str, object] | None
    audiences: Mapping[str, str]
    """By CSI driver: whom its token is for."""
    target: TargetFacts
    labels: Labels
    pull_token: PullToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartForget:
    """Start the worker that takes the restore point out of the repository."""

    job: str
    run: ForgetRun
    target: TargetFacts
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptSecret:
    """Let the Job own the Secret of its name."""

    job: str
    job_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete one object; with a uid only that very one."""

    kind: Literal[
        "Job",
        "Claim",
        "VolumeSnapshot",
        "VolumeSnapshotContent",
        "VirtualMachineSnapshot",
        "VirtualMachineBackup",
        "Secret",
    ]
    name: str
    namespace: str | None = None
    """None: the operator's namespace, or none for a cluster-wide kind."""
    uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpVolume:
    """Let a PersistentVolume go with its claim, which is ours: set its reclaim policy to Delete."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPolicy:
    """Set a content's deletionPolicy; `release` also takes the marks of HoldContent away."""

    content: str
    uid: str
    policy: ContentPolicy
    release: bool = False


Step = (
    CaptureMachine
    | TakeSnapshot
    | TakeVolumeSnapshots
    | StartHook
    | Thaw
    | HoldContent
    | CreatePair
    | RebindPair
    | CreateClone
    | KeepBase
    | LabelBackup
    | StartBackup
    | StartForget
    | AdoptSecret
    | Delete
    | SetPolicy
    | GiveUpVolume
    | GroupStep
    | MemoryStep
    | PullStep
)
