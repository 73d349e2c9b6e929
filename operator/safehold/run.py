"""What the controller asks of one worker Job, and what the Job answers.

The controller writes a run as `run.json` into a Secret that the Job owns; the worker reads it from the mounted folder
(`RUN_FOLDER`), beside the files that must never be in JSON or arguments: the repository key and the credentials.
The worker answers with JSON lines on stdout (`Progress`, `SealedMachine`) and a `RunReport` as termination message.
Both programs import this module, and nothing else of each other.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RUN_FOLDER = "/run/safehold"
"""Where the Job mounts the run's Secret; `SAFEHOLD_RUN_FOLDER` overrides it."""
RUN_FILE = "run.json"
KEY_FILE = "repository.key"
"""The repository key as `safehold key new` writes it."""
CREDENTIALS_FILE = "credentials"
"""An AWS shared credentials file with the profile `default`; absent where the pod's own identity is used."""
CA_FILE = "ca.pem"
"""PEM bundle for the endpoint, where the target names one."""
PULL_TOKEN_FILE = "pull.token"  # noqa: S105 (a file's name)
"""The token with which disks are pulled from KubeVirt's backup, where a volume's changes name this file."""
ENVELOPE_FILE = "envelope.key"
"""32 random bytes of this run only. What a restore recalls of the VM is sealed with it before it is printed."""
EXIT_FAILED = 1
"""The worker's exit code after a failure that another attempt may not meet."""
EXIT_REFUSED = 3
"""The worker's exit code after a failure that every attempt would meet: the Job ends at once (podFailurePolicy)."""
REPORT_LIMIT_BYTES = 3 * 1024
"""Kubernetes keeps 4 KiB of a termination message; a report stays under 3 KiB so that its end is never cut."""


VolumeRole = Literal["Disk", "MemoryDump", "State"]
"""MemoryDump: a file of the guest's memory, which no VM gets back. State: the folder with TPM and EFI state."""


def disk_path(volume: str, mode: Literal["Block", "Filesystem"]) -> str:
    """Where a Job sees one volume's disk: a device, or the `disk.img` in the volume's folder."""
    return f"/dev/safehold/{volume}" if mode == "Block" else f"/volumes/{volume}/disk.img"


def folder_path(volume: str) -> str:
    """Where a Job sees a Filesystem volume."""
    return f"/volumes/{volume}"


def file_path(volume: str, file: str) -> str:
    """Where a Job sees another file of a volume that is mounted as a folder."""
    return f"/volumes/{volume}/{file}"


TOKEN_FOLDER = "/run/safehold-tokens"  # noqa: S105 (a path, not a secret)
"""Where the Job mounts projected tokens: one file for each CSI driver whose service the worker asks."""


def token_path(driver: str) -> str:
    """Where a Job sees the token for the SnapshotMetadata service of a CSI driver."""
    return f"{TOKEN_FOLDER}/{driver}"


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Owner(_Message):
    """Who owns a restore point. The uids decide; the names are for people."""

    cluster: str
    """uid of the cluster's kube-system namespace."""
    namespace_uid: str
    vm_uid: str
    namespace: str
    vm: str


class RepositoryPlace(_Message):
    """Where a repository is. Credentials and key are files beside the run, never in here."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    force_path_style: bool = True
    allow_local_endpoint: bool = False
    """The operator's setting: may the endpoint be at a loopback or link-local address; checked where it is called."""
    forbidden_addresses: list[str] = Field(default_factory=list)
    """Addresses that the endpoint must not resolve to: the API server's."""
    bandwidth_bytes_per_second: int | None = None
    """What one worker may send, and as much that it may receive; None: no limit."""


class VolumeSource(_Message):
    """What a base must have in common with its parent point before it is trusted (docs/format.md)."""

    pvc_uid: str
    volume_handle: str
    driver: str
    capacity_bytes: int
    last_restore_uid: str = ""


class CsiChanges(_Message):
    """Changed blocks from a CSI driver's SnapshotMetadata service."""

    engine: Literal["CSI"] = "CSI"
    address: str
    """host:port of the service."""
    ca: str
    """PEM bundle that its certificate is checked with."""
    token_path: str
    """The file with the projected token for the service's audience; read again when it has expired."""
    namespace: str
    snapshot: str
    """The VolumeSnapshot of our own pair, in `namespace`."""
    driver: str
    base: str | None = None
    """The handle of the base's snapshot; None: only allocated ranges can be asked."""


class KubeVirtChanges(_Message):
    """Changed blocks, and the bytes, from a VirtualMachineBackup in pull mode."""

    engine: Literal["KubeVirt"] = "KubeVirt"
    map_url: str
    data_url: str
    ca: str
    """PEM bundle that the endpoints' certificate is checked with."""
    token_file: str
    """The run folder's file with the pull token."""
    base: str | None = None
    """The checkpoint that the backup is incremental to; None: it is a full one."""


class VolumeToBackUp(_Message):
    """One volume of the VM, mounted into the Job."""

    name: str
    """The VM's volume name."""
    path: str | None
    """The device (Block) or the `disk.img` (Filesystem) as the container sees it, or a State's folder.

    None: `changes` serve the bytes.
    """
    mode: Literal["Block", "Filesystem"]
    role: VolumeRole = "Disk"
    source: VolumeSource
    checkpoint: str | None = None
    """What this capture is called as the base of a later run; kept in the point."""
    changes: CsiChanges | KubeVirtChanges | None = Field(default=None, discriminator="engine")
    """Whom to ask for changed blocks; None: the disk is scanned."""
    scan_reason: str = "no changed-block information"
    """Why there is nobody to ask; a part of the report's sentence."""
    may_scan: bool = True
    """Whether the disk may be scanned where the changes cannot be believed; otherwise the run fails."""
    verify: bool = False
    """Read the whole disk as well, compare it with what the changes say, and keep what was read."""
    claim: dict[str, Any]
    """The claim's metadata that a restore needs: name, labels, annotations, storageClassName, accessModes, capacity."""


class Capture(_Message):
    """How the point in time was cut, as it was observed."""

    time: datetime
    consistency: Literal["Crash", "Offline", "Filesystem", "Application"]
    indications: list[str]
    frozen_millis: int | None = None
    frozen_observation: Literal["Observed", "UpperBound"] | None = None
    snapshot_uid: str
    excluded: list[str] = Field(default_factory=list)
    """Disks of the VM that were left out on purpose."""


class BackupRun(_Message):
    """Read these volumes, store what changed, commit one restore point."""

    verb: Literal["backup"] = "backup"
    run_id: str
    policy: str | None = None
    """uid of the policy that asked for the point; its retention decides how long it stays."""
    policy_name: str = ""
    """Its kind and name, such as `BackupPolicy/gold`: one that is created anew under them takes its points over."""
    tier: str = ""
    """The tier of the policy's schedules that was due, if it has tiers."""
    owner: Owner
    repository: RepositoryPlace
    key_domain: str
    """`target`, or `namespace/<uid>`."""
    capture: Capture
    volumes: list[VolumeToBackUp]
    machine: list[dict[str, Any]]
    """The VirtualMachine and all that it depends on, as Kubernetes objects; sealed into the point."""


class VolumeToRestore(_Message):
    """One volume to fill."""

    name: str
    path: str
    mode: Literal["Block", "Filesystem"]
    role: VolumeRole = "Disk"
    size_bytes: int
    """Capacity of the new volume; at least the disk's size."""
    vm: str | None = None
    """Of a State: the VM that it is for, where that is called otherwise than the one that was backed up."""
    delta: bool = False
    """Whether the volume was made from a snapshot: it is compared with the point, and what differs is fetched."""


class RestoreRun(_Message):
    """Fill these volumes from one restore point, read back what was written, and recall the VM's manifest."""

    verb: Literal["restore"] = "restore"
    run_id: str
    repository: RepositoryPlace
    key_domain: str
    restore_point: str
    owner: Owner
    """Who must own the point: cluster, namespace uid and VM uid are compared with the sealed manifest."""
    volumes: list[VolumeToRestore]


class TargetRun(_Message):
    """Open (or, the first time, lay out) the repository and prove what the credentials can do."""

    verb: Literal["target"] = "target"
    run_id: str
    repository: RepositoryPlace
    access_mode: Literal["ReadWrite", "ReadOnly"]
    repository_id: str | None = None
    """The repository that was found here before. With one, no other is laid out in its place."""


class ForgetRun(_Message):
    """Take one restore point out of the repository's catalogue; one that is not there is no failure."""

    verb: Literal["forget"] = "forget"
    run_id: str
    repository: RepositoryPlace
    key_domain: str
    restore_point: str | None
    """None: what the backup with this run id has committed, if it did before it was stopped."""
    owner: Owner


class PolicyRules(_Message):
    """How long the points of one policy, or of a tier, stay; the fields mean what `safehold.retention.rules` says."""

    policy: str
    """The policy's uid."""
    name: str
    """Its kind and name, as points have them."""
    namespace_uid: str = ""
    """Of a BackupPolicy; it takes over no points of another namespace."""
    tier: str = ""
    """The tier that these are the rules of; empty: of all points of the policy, but those of tiers with their own."""
    time_zone: str
    keep_last: int = 0
    keep_within: timedelta | None = None
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    minimum_age: timedelta = timedelta()
    after_vm_deleted: Literal["Keep", "Delete"] = "Keep"
    deleted_vm_grace: timedelta = timedelta()
    runs: list[datetime] = Field(default_factory=list)
    """The next runs, by which the worker foretells the next deletions."""


class MaintainRun(_Message):
    """Forget the points that retention lets go, then free what no point needs."""

    verb: Literal["maintain"] = "maintain"
    run_id: str
    repository: RepositoryPlace
    repository_id: str
    """The repository that is meant: in another one nothing is forgotten."""
    cluster: str
    """uid of the cluster's kube-system namespace; points of other clusters are nobody's business here."""
    time: datetime
    """When this was decided. Attempts that come later judge by the same time."""
    rules: list[PolicyRules]
    policies: list[str]
    """uids of all policies that exist, with or without rules."""
    machines: str
    """The census (`safehold.census`) of all VMs that exist."""
    gone: dict[str, datetime]
    """By uid: since when VMs are known to be gone of which points are still there."""
    held: list[str]
    """Restore points that must stay."""
    compact: bool
    """Whether sparse packs are rewritten too."""


class Engine(StrEnum):
    """How the changed blocks of a volume were found."""

    SCAN = "Scan"
    CSI = "CSI"
    KUBEVIRT = "KubeVirt"


class VolumeReport(_Message):
    """What happened to one volume. Bytes: of the disk, read, found changed, sent, kept in the store for this run."""

    name: str
    engine: Engine = Engine.SCAN
    engine_reason: str = ""
    bytes_total: int
    bytes_read: int = 0
    bytes_changed: int = 0
    bytes_uploaded: int = 0
    bytes_stored: int = 0
    bytes_fetched: int = 0
    """Of a restore: what the store sent."""
    seconds: float = 0.0
    verified: bool = False
    """All of the disk was read to see whether the engine had told the truth."""
    mismatched_bytes: int = 0
    """What the engine had kept silent about; the point is right all the same."""


class MaintenanceReport(_Message):
    """What a MaintainRun found and did."""

    points: int = 0
    """That there are now."""
    ungoverned: int = 0
    """Of them, those that no retention rule decides about."""
    of_gone_policies: int = 0
    """Of the ungoverned, those whose policy does not exist any more."""
    of_gone_machines: int = 0
    """Of them, those of VMs that do not exist any more."""
    forgotten: int = 0
    freed_bytes: int = 0
    """Of packs that were deleted."""
    compacted: bool = False
    """Whether sparse packs were rewritten too."""
    condemned_bytes: int = 0
    """Of packs that will be deleted 49 hours later or more."""
    newly_gone: list[str] = Field(default_factory=list, max_length=16)
    """uids of VMs that are gone, have points under `after_vm_deleted: Delete`, and not among `gone`; some of all."""
    emptied: list[str] = Field(default_factory=list, max_length=16)
    """uids out of `gone` that have no point any more; some of all."""
    lines: int = Field(default=0, ge=0)
    """How many `RetentionLine`s the log ends with."""


class RunReport(_Message):
    """The Job's termination message."""

    run_id: str
    verb: str
    succeeded: bool
    reason: str
    message: str
    restore_point: str | None = None
    parent: str | None = None
    volumes: list[VolumeReport] = Field(default_factory=list)
    volumes_in_log: int = Field(default=0, ge=0, le=1024)
    """How many volumes follow as `VolumeLine`s at the log's end, because they do not fit into the message."""
    repository_id: str | None = None
    """Of a target run: the repository's identity, so that a swapped bucket is noticed."""
    seconds: float = 0.0
    maintenance: MaintenanceReport | None = None
    """Of a MaintainRun."""


class RetentionLine(_Message):
    """A line on stdout at the end of a MaintainRun: a point that was forgotten, or that will go next."""

    kind: Literal["retention"] = "retention"
    run_id: str
    policy: str
    """uid of the policy whose rules decided."""
    tier: str = ""
    """Its tier, where that has rules of its own."""
    namespace: str
    vm: str
    restore_point: str
    captured: datetime
    at: datetime
    """When it was forgotten, or the run or moment from which on it is let go."""
    reason: str
    forgotten: bool


class VolumeLine(_Message):
    """A line on stdout at the end of a run: one volume of a report that is too long for a termination message."""

    kind: Literal["volume"] = "volume"
    run_id: str
    volume: VolumeReport


class VolumeProgress(_Message):
    """How far the worker is with one volume."""

    name: str
    bytes_done: int
    bytes_total: int


class Progress(_Message):
    """A line on stdout, at most one a second."""

    kind: Literal["progress"] = "progress"
    run_id: str
    bytes_done: int
    bytes_total: int
    volume: VolumeProgress | None = None
    """Of a restore: the volume that is being filled; those before it in the run are whole."""


class SealedMachine(_Message):
    """A line on stdout of a restore: a part of the VM's manifest, sealed and opened by `safehold.envelope`."""

    kind: Literal["machine"] = "machine"
    run_id: str
    part: int
    parts: int
    sealed: str
    """base64 of one part; parts are joined before they are opened."""
