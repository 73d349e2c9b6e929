"""BackupTarget and ClusterBackupTarget: an S3 bucket, how to reach it, and the key that seals what lies in it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Count, Name, Resource, Status, Time, Uid, Word, rules
from safehold.api.maintenance import Maintenance, MaintenanceStatus
from safehold.api.references import AllowedNamespaces, CaBundleRef, RepositoryKeyRef, SecretRef

KeyDomain = Literal["Namespace", "Target"]
TargetAccessMode = Literal["ReadWrite", "ReadOnly"]

_ANOTHER_PLACE = "because its restore points would no longer be found; create another target instead"
_SAME_ENDPOINT = (
    "has(self.endpoint) == has(oldSelf.endpoint) && (!has(self.endpoint) || self.endpoint == oldSelf.endpoint)"
)


class S3Place(ApiModel):
    """A place in an S3-compatible object store."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.bucket == oldSelf.bucket", f"bucket is immutable {_ANOTHER_PLACE}"),
            ("self.prefix == oldSelf.prefix", f"prefix is immutable {_ANOTHER_PLACE}"),
            (_SAME_ENDPOINT, f"endpoint is immutable {_ANOTHER_PLACE}"),
        )
    )

    bucket: Annotated[str, Field(min_length=3, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]$")]
    """The bucket. It must exist."""
    prefix: Annotated[str, Field(max_length=512, pattern=r"^([^/\s]+(/[^/\s]+)*)?$")] = ""
    """Where in the bucket the repository lies, without a slash at either end; empty for the whole bucket."""
    endpoint: Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/?#@]+/?$")] | None = None
    """URL of the store, such as `https://s3.example.com:9000`; absent for AWS."""
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The bucket's region; absent for the client's default."""
    force_path_style: bool = True
    """Whether the bucket is part of the path (most stores other than AWS) instead of the host name."""
    ca_bundle_secret_ref: CaBundleRef | None = None
    """Certificates to check the endpoint's with, where the system's do not do."""


class Encryption(ApiModel):
    """What seals the repository."""

    key_secret_ref: RepositoryKeyRef
    """The repository key. Without it nothing can be restored: keep a copy outside the cluster."""


class _TargetSpec(ApiModel):
    s3: S3Place
    """The bucket and how to reach it."""
    encryption: Encryption
    """What seals the repository."""
    key_domain: Annotated[
        KeyDomain,
        Field(
            json_schema_extra=rules(
                (
                    "self == oldSelf",
                    "keyDomain is immutable because what is stored is sealed with the keys of its domain",
                )
            )
        ),
    ] = "Namespace"
    """Who shares keys, and with them deduplication.

    Namespace: each namespace has keys of its own. Target: all namespaces share one domain; it saves space where many
    VMs come from one image, and lets tenants infer which blocks others store too.
    """
    max_frozen_vms: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] | None = None
    """How many VMs that back up to this target may stand still between freeze and thaw at once; absent: no limit.

    Others wait before their snapshot. It spares storage that is slow when many volumes are cut at the same time.
    """
    max_active_runs: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] | None = None
    """How many backups to this target may be active at once; absent: as many as the operator runs.

    It spares a store that many writers would slow down. Others wait, and namespaces take turns.
    """
    worker_bandwidth: Annotated[str, Field(max_length=16, pattern=r"^[1-9][0-9]{0,9}(k|M|G|Ki|Mi|Gi)?$")] | None = None
    """Bytes a second that each worker may send to the store, and as many that it may receive, such as `100Mi`."""
    queue_name: Name | None = None
    """A LocalQueue of Kueue in the operator's namespace, which has to admit each backup's Job; absent: none.

    Restores do not wait for it.
    """
    maintenance: Maintenance = Maintenance()
    """When restore points that retention lets go are forgotten, and what no point needs is deleted."""
    access_mode: TargetAccessMode = "ReadWrite"
    """ReadOnly: restores only; no backup is written and nothing is deleted."""


class BackupTargetSpec(_TargetSpec):
    """A place for restore points of the VMs of this namespace."""

    credentials_secret_ref: SecretRef
    """A Secret of this namespace with the keys `accessKeyId` and `secretAccessKey`."""


class ClusterBackupTargetSpec(_TargetSpec):
    """A place for restore points of the VMs of many namespaces."""

    credentials_secret_ref: SecretRef | None = None
    """A Secret of the operator's namespace with the keys `accessKeyId` and `secretAccessKey`.

    Absent: the worker pods' own identity (web identity, instance role).
    """
    allowed_namespaces: AllowedNamespaces | None = None
    """Which namespaces may back up to and restore from this target; absent or empty: none."""


class TargetStatus(Status):
    """What the last validation found."""

    repository_id: Uid | None = None
    """The repository's own identity; a swapped or emptied bucket has another one."""
    last_validation_time: Time | None = None
    """When a worker proved the last time that key, credentials and bucket work together."""
    next_validation_time: Time | None = None
    """When that is checked again; sooner when the spec or a Secret changes."""
    secrets_version: Word | None = None
    """Tells which version of the Secrets was checked; made from their resourceVersions, not from what they hold."""
    failed_validations: Count | None = None
    """How many checks failed in a row."""
    maintenance: MaintenanceStatus | None = None
    """What became of the last maintenance."""


class BackupTarget(Resource):
    """An S3 bucket for the backups of one namespace."""

    kind: str = "BackupTarget"
    spec: BackupTargetSpec
    status: TargetStatus = Field(default_factory=TargetStatus)


class ClusterBackupTarget(Resource):
    """An S3 bucket for the backups of every namespace that it allows."""

    kind: str = "ClusterBackupTarget"
    spec: ClusterBackupTargetSpec
    status: TargetStatus = Field(default_factory=TargetStatus)
