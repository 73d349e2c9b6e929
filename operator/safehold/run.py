"""What the controller asks of one worker Job.

The controller writes a run as `run.json` into a Secret that the Job owns; the worker reads it from the mounted folder
(`RUN_FOLDER`), beside the files that must never be in JSON or arguments: the repository key and the credentials.
The worker answers with what `safehold.report` holds. Both programs import these two modules and `safehold.description`,
and nothing else of each other.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from safehold.message import Message

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


class Owner(Message):
    """Who owns a restore point. The uids decide; the names are for people."""

    cluster: str
    """uid of the cluster's kube-system namespace."""
    namespace_uid: str
    vm_uid: str
    namespace: str
    vm: str


class RepositoryPlace(Message):
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


class VolumeSource(Message):
    """What a base must have in common with its parent point before it is trusted (docs/format.md)."""

    pvc_uid: str
    volume_handle: str
    driver: str
    capacity_bytes: int
    last_restore_uid: str = ""


class CsiChanges(Message):
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


class KubeVirtChanges(Message):
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


class VolumeToBackUp(Message):
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


class Capture(Message):
    """How the point in time was cut, as it was observed."""

    time: datetime
    consistency: Literal["Crash", "Offline", "Filesystem", "Application"]
    indications: list[str]
    frozen_millis: int | None = None
    frozen_observation: Literal["Observed", "UpperBound"] | None = None
    snapshot_uid: str
    excluded: list[str] = Field(default_factory=list)
    """Disks of the VM that were left out on purpose."""


class BackupRun(Message):
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


class VolumeToRestore(Message):
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


class RestoreRun(Message):
    """Fill these volumes from one restore point, read back what was written, and recall the VM's manifest."""

    verb: Literal["restore"] = "restore"
    run_id: str
    repository: RepositoryPlace
    key_domain: str
    restore_point: str
    owner: Owner
    """Who must own the point: cluster, namespace uid and VM uid are compared with the sealed manifest."""
    volumes: list[VolumeToRestore]


class TargetRun(Message):
    """Open (or, the first time, lay out) the repository and prove what the credentials can do."""

    verb: Literal["target"] = "target"
    run_id: str
    repository: RepositoryPlace
    access_mode: Literal["ReadWrite", "ReadOnly"]
    repository_id: str | None = None
    """The repository that was found here before. With one, no other is laid out in its place."""


class ForgetRun(Message):
    """Take one restore point out of the repository's catalogue; one that is not there is no failure."""

    verb: Literal["forget"] = "forget"
    run_id: str
    repository: RepositoryPlace
    key_domain: str
    restore_point: str | None
    """None: what the backup with this run id has committed, if it did before it was stopped."""
    owner: Owner


class PolicyRules(Message):
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


class MaintainRun(Message):
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
