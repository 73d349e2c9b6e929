"""Worker Jobs: one Job per verb, in the operator's namespace, with a Secret that holds its run."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import JOB, POD, SECRET
from safehold.plan.names import Verb
from safehold.report import EXIT_REFUSED
from safehold.run import RUN_FILE, RUN_FOLDER, TOKEN_FOLDER, disk_path

CONTAINER = "worker"
QEMU_ID = 107
"""uid and gid of KubeVirt's disks: `disk.img` belongs to it, and devices are given to the pod's runAsUser."""
TOKEN_SECONDS = 3600
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue finds a Job that its queue has to admit; such a Job is created suspended."""
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"

_FAILURE_RULES: list[Manifest] = [
    # Drains, evictions and lost nodes are not the worker's doing, and do not use up its attempts.
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [EXIT_REFUSED]}},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPod:
    """What all worker pods have in common; from the operator's settings."""

    namespace: str
    image: str
    command: tuple[str, ...]
    service_account: str
    changed_blocks_account: str
    """Of pods that ask a SnapshotMetadata service; they alone get a token, for that service only."""
    cpu_request: str
    memory_request: str
    memory_limit: str
    deadline_seconds: int
    backoff_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedVolume:
    """A claim that the worker sees: Block as a device, Filesystem as a folder with a `disk.img`."""

    name: str
    claim: str
    mode: Literal["Block", "Filesystem"]
    read_only: bool

    @property
    def path(self) -> str:
        """Where the disk is, as the container sees it."""
        return disk_path(self.name, self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """One run to start. `files` are the secret ones beside the run (`safehold.run`); they go into a Secret only."""

    name: str
    verb: Verb
    labels: Mapping[str, str]
    run: BaseModel = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    volumes: tuple[MountedVolume, ...] = ()
    node_affinity: Manifest | None = None
    """A `nodeSelector` that the pod's node must fulfil: where the volumes can be reached."""
    audiences: Mapping[str, str] = field(default_factory=dict)
    """By CSI driver: whom the token is for with which the worker asks the driver's SnapshotMetadata service."""
    queue: str | None = None
    """The LocalQueue of Kueue that starts it."""


async def start_job(cluster: Cluster, pod: WorkerPod, job: WorkerJob) -> None:
    """Create the run's Secret, then the Job, then let the Job own the Secret. For a Job that does not exist."""
    secret = _secret_manifest(pod.namespace, job)
    existing = await cluster.create_if_absent(SECRET, secret)
    if existing.get("data") != secret["data"]:
        await cluster.merge_patch(SECRET, job.name, pod.namespace, {"data": secret["data"]})
    created = await cluster.create_if_absent(JOB, _job_manifest(pod, job))
    await adopt_secret(cluster, pod.namespace, job.name, created["metadata"]["uid"])


async def adopt_secret(cluster: Cluster, namespace: str, name: str, job_uid: str) -> None:
    """Make the Job the owner of the Secret of its name, so that the garbage collector takes both."""
    owner = {"apiVersion": JOB.api_version, "kind": JOB.kind, "name": name, "uid": job_uid, "controller": True}
    await cluster.merge_patch(SECRET, name, namespace, {"metadata": {"ownerReferences": [owner]}})


async def delete_job(cluster: Cluster, namespace: str, name: str) -> bool:
    """Ask for the end of Job, pods and Secret; True once all are gone."""
    await cluster.delete(JOB, name, namespace)
    await cluster.delete(SECRET, name, namespace)
    if await cluster.get(JOB, name, namespace) is not None:
        return False
    return not await cluster.list(POD, namespace, labels={JOB_NAME_LABEL: name})


def _secret_manifest(namespace: str, job: WorkerJob) -> Manifest:
    content = {RUN_FILE: job.run.model_dump_json().encode(), **job.files}
    return {
        "metadata": {"name": job.name, "namespace": namespace, "labels": dict(job.labels)},
        "type": "Opaque",
        "data": {name: base64.b64encode(value).decode() for name, value in sorted(content.items())},
    }


def _job_manifest(pod: WorkerPod, job: WorkerJob) -> Manifest:
    queue = {KUEUE_QUEUE: job.queue} if job.queue else {}
    return {
        "metadata": {"name": job.name, "namespace": pod.namespace, "labels": {**job.labels, **queue}},
        "spec": {
            **({"suspend": True} if queue else {}),
            "backoffLimit": pod.backoff_limit,
            "activeDeadlineSeconds": pod.deadline_seconds,
            "podFailurePolicy": {"rules": _FAILURE_RULES},
            "template": {"metadata": {"labels": dict(job.labels)}, "spec": _pod_spec(pod, job)},
        },
    }


def _pod_spec(pod: WorkerPod, job: WorkerJob) -> Manifest:
    spec: Manifest = {
        "restartPolicy": "Never",
        "serviceAccountName": pod.changed_blocks_account if job.audiences else pod.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(job.volumes),
        "containers": [_container(pod, job)],
        "volumes": [
            {"name": "run", "secret": {"secretName": job.name, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
            *_tokens(job.audiences),
            *(
                {"name": f"disk-{number}", "persistentVolumeClaim": {"claimName": volume.claim}}
                for number, volume in enumerate(job.volumes)
            ),
        ],
    }
    if job.node_affinity:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": job.node_affinity}}
    return spec


def _tokens(audiences: Mapping[str, str]) -> list[Manifest]:
    """Tokens that only the services accept, one file per driver; the kubelet renews them."""
    if not audiences:
        return []
    sources = [
        {"serviceAccountToken": {"audience": audience, "expirationSeconds": TOKEN_SECONDS, "path": driver}}
        for driver, audience in sorted(audiences.items())
    ]
    return [{"name": "tokens", "projected": {"sources": sources, "defaultMode": 0o440}}]


def _pod_security(volumes: tuple[MountedVolume, ...]) -> Manifest:
    security: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": QEMU_ID,
        "runAsGroup": QEMU_ID,
        # Lets the worker read its Secret; of the disks, only Filesystem volumes know groups at all.
        "fsGroup": QEMU_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if any(volume.mode == "Filesystem" for volume in volumes):
        security["fsGroupChangePolicy"] = "OnRootMismatch"
    return security


def _container(pod: WorkerPod, job: WorkerJob) -> Manifest:
    mounts: list[Manifest] = [
        {"name": "run", "mountPath": RUN_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the pod's own emptyDir: its root is read-only
    ]
    if job.audiences:
        mounts.append({"name": "tokens", "mountPath": TOKEN_FOLDER, "readOnly": True})
    devices: list[Manifest] = []
    for number, volume in enumerate(job.volumes):
        if volume.mode == "Block":
            devices.append({"name": f"disk-{number}", "devicePath": volume.path})
        else:
            folder = volume.path.removesuffix("/disk.img")
            mounts.append({"name": f"disk-{number}", "mountPath": folder, "readOnly": volume.read_only})
    return {
        "name": CONTAINER,
        "image": pod.image,
        "args": [*pod.command, "worker", job.verb],
        "resources": {
            "requests": {"cpu": pod.cpu_request, "memory": pod.memory_request},
            "limits": {"memory": pod.memory_limit},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
        **({"volumeDevices": devices} if devices else {}),
    }
