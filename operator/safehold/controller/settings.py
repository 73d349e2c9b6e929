"""What an installation can set about the controller: environment variables named `SAFEHOLD_…`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from safehold.kube.jobs import WorkerPod


class ControllerSettings(BaseSettings):
    """The controller's settings; the chart's values set them. Each variable is the field's name after `SAFEHOLD_`."""

    model_config = SettingsConfigDict(env_prefix="SAFEHOLD_", frozen=True, use_attribute_docstrings=True)

    operator_namespace: str = "safehold"
    """Where worker Jobs, their Secrets, and the claims that they read and write are made."""
    service_account: str = "safehold"
    """The controller's own ServiceAccount, which messages name where it lacks a right that others must give."""
    kubeconfig: Path | None = None
    """A kubeconfig; absent: the pod's own service account."""
    namespaces: list[str] = Field(default_factory=list)
    """Namespaces to serve, as a JSON list; empty: all."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much the log tells; INFO has every transition of every object."""

    worker_image: str = "safehold"
    """The image of worker pods: this program's own."""
    worker_command: list[str] = Field(default_factory=list)
    """Arguments before `worker VERB`, as a JSON list; the image's entry point is `python -m safehold`."""
    worker_service_account: str = "safehold-worker"
    """The ServiceAccount of worker pods. It needs no rights, and its token is not mounted."""
    changed_blocks_service_account: str = "safehold-changed-blocks"
    """The ServiceAccount of worker pods that ask a CSI driver for changed blocks: it may get VolumeSnapshots here."""
    worker_cpu_request: str = "500m"
    """CPU that a worker asks for; it may use all that its node has to spare."""
    worker_memory_request: str = "256Mi"
    """Memory that a worker asks for; it stays under 200 MiB whatever the volumes' size."""
    worker_memory_limit: str = "512Mi"
    """Memory at which a worker is killed: with the page cache that its reads fill, which the kernel gives back."""
    worker_backoff_limit: int = Field(default=2, ge=0, le=10)
    """How often a failed worker is started again. A retried worker goes on with what is in the store already."""

    max_active_runs: int = Field(default=4, ge=1, le=1000)
    """Backups that may be active at once, counted from the snapshot on. Namespaces take turns."""
    max_active_runs_per_node: int | None = Field(default=None, ge=1, le=1000)
    """Backups that may be active at once of VMs that run on one node; absent: no limit."""
    max_active_runs_by_storage_class: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)
    """Backups that may be active at once of VMs with disks of a StorageClass, by its name, as a JSON object."""
    prepare_timeout_seconds: int = Field(default=1800, ge=10)
    """How long a snapshot may take to become readable, and a volume to be made from it."""
    run_timeout_seconds: int = Field(default=172800, ge=60)
    """How long a worker may take: no longer than the age at which the repository refuses its commit."""
    clone_storage_class: str | None = None
    """StorageClass of the volumes that workers read, of the same driver as the source's; absent: the source's own."""

    kubevirt_engine: bool = False
    """Whether policies may choose KubeVirt's own backups, for which more rights are needed; the chart gives both."""
    group_snapshots: bool = True
    """Whether a capture without KubeVirt may be a VolumeGroupSnapshot; the chart gives the rights for it."""
    populator: bool = True
    """Whether claims whose `dataSourceRef` is a VMBackup are filled, for which all claims are watched."""
    pull_timeout_seconds: int = Field(default=21600, ge=600)
    """When KubeVirt ends a backup of its own by itself. Until then it holds up drains and migrations of the VM."""
    scratch_storage_class: str | None = None
    """StorageClass of the scratch volumes that KubeVirt's own backups need; absent: that of the VM's first disk."""
    base_max_age_seconds: int = Field(default=691200, ge=0)
    """How long the last snapshot of a volume is kept to ask a CSI driver what changed since; 0: none is kept.

    Eight days, so that a weekly backup finds one. At most one snapshot per volume is kept.
    """

    catalogue_keep_per_vm: int = Field(default=10, ge=1, le=10_000)
    """How many VMBackups of one VM that policies made and that succeeded stay in the cluster; no point is forgotten."""

    allow_local_endpoints: bool = False
    """Whether object stores may be at loopback and link-local addresses: for the sandbox, never for tenants."""

    poll_seconds: float = Field(default=2.0, gt=0)
    """How often an active run is looked at when no event says that something changed."""
    sweep_seconds: float = Field(default=300.0, gt=0)
    """How often leftovers of runs that no longer exist are looked for, and every object is looked at again."""
    request_timeout_seconds: float = Field(default=30.0, gt=0)
    """How long one request to the Kubernetes API may take."""
    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """Port of `/metrics`; 0: no metrics."""
    liveness_port: int = Field(default=8081, ge=0, le=65535)
    """Port of `/healthz`; 0: no liveness endpoint."""
    heartbeat_timeout_seconds: float = Field(default=600.0, gt=0)
    """After this long without one successful look at the cluster the process ends, so that it is started anew."""

    def worker_pod(self) -> WorkerPod:
        """What all worker pods have in common."""
        return WorkerPod(
            namespace=self.operator_namespace,
            image=self.worker_image,
            command=tuple(self.worker_command),
            service_account=self.worker_service_account,
            changed_blocks_account=self.changed_blocks_service_account,
            cpu_request=self.worker_cpu_request,
            memory_request=self.worker_memory_request,
            memory_limit=self.worker_memory_limit,
            deadline_seconds=self.run_timeout_seconds,
            backoff_limit=self.worker_backoff_limit,
        )
