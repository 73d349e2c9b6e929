"""A whole sandbox with Safehold installed from its chart: what end-to-end tests do, wait for and look at."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from configparser import RawConfigParser
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.kinds import CLUSTER_BACKUP_TARGET
from tests.e2e.namespace import Tenant
from tests.e2e.patience import PATIENCE_SECONDS
from tests.e2e.recorder import Recorder

from safehold.engine.keys.keyfile import RepositoryKey
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import DEPLOYMENT, NAMESPACE, POD, REPLICA_SET, Kind
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.demo import chart
from sandbox.demo.kubectl import Kubectl, condition, is_ready
from sandbox.ports import free_ports
from sandbox.up import Sandbox

OPERATOR = chart.NAMESPACE
BUCKET = "backups"
SHARED = "shared"
"""The ClusterBackupTarget that is there from the start; it serves namespaces with the label backup=allowed."""
POLL_SECONDS = "0.5"
_LABELS = "app.kubernetes.io/name=safehold"
"""Of the controller's pods and ReplicaSets."""


@dataclass(frozen=True)
class World:
    """The running sandbox, seen by its administrator."""

    sandbox: Sandbox
    kubectl: Kubectl
    cluster: Cluster
    """For waits: a watch costs less than polling with kubectl."""
    values: Object
    """The values that the chart is installed with."""
    recorder: Recorder
    access: dict[str, str] = field(repr=False)
    key: RepositoryKey = field(repr=False)
    secrets: list[str] = field(default_factory=list, repr=False)
    """Every secret value that tests put into Secrets, and that must be found nowhere else."""

    @asynccontextmanager
    async def tenant(self, name: str, *, served: bool = True, **annotations: str) -> AsyncIterator[Tenant]:
        """A namespace with a user who has the role `edit` in it, deleted at the end.

        `served`: the shared target serves it. Annotations are given as `allow_restore_to="x"`.
        """
        metadata = {
            "name": name,
            "labels": {"backup": "allowed" if served else "denied"},
            "annotations": {f"safehold.dev/{key.replace('_', '-')}": value for key, value in annotations.items()},
        }
        await self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        tenant = Tenant(world=self, name=name)
        await tenant.admit()
        yield tenant
        # Not in a `finally`: after a failure the namespace is left to be looked at.
        await self.cluster.delete(NAMESPACE, name)

    def acting_as(self, user: str) -> Kubectl:
        """The command as another user."""
        return Kubectl(self.kubectl.kubeconfig, user)

    async def apply(self, *manifests: Object, kubectl: Kubectl | None = None) -> None:
        """Apply manifests as the administrator, or with another kubectl."""
        await (kubectl or self.kubectl).apply("\n---\n".join(json.dumps(manifest) for manifest in manifests))

    async def secret(self, namespace: str, name: str, values: dict[str, str]) -> None:
        """A Secret whose values are looked for everywhere else at the end."""
        self.secrets.extend(value.strip() for value in values.values() if len(value.strip()) >= 8)
        await self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": values,
            }
        )

    def target(self, name: str, namespace: str | None = None, **changes: Any) -> Object:
        """A target in a place of its own, with Secrets `credentials` and `key`; `changes` replace parts of its spec."""
        s3 = {"bucket": BUCKET, "prefix": f"{namespace or 'cluster'}/{name}", "endpoint": self.sandbox.s3_endpoint}
        spec: Object = {
            "s3": {**s3, **changes.pop("s3", {})},
            "credentialsSecretRef": {"name": "credentials"},
            "encryption": {"keySecretRef": {"name": "key"}},
            **changes,
        }
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        if namespace is None:
            spec.setdefault("allowedNamespaces", {"matchLabels": {"backup": "allowed"}})
        kind = "BackupTarget" if namespace else "ClusterBackupTarget"
        return {"apiVersion": "safehold.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    async def until(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        reached: Callable[[Object], bool],
    ) -> Object:
        """Wait for a state of an object that exists."""
        found = await wait_until(
            self.cluster,
            kind,
            name,
            namespace,
            reached=lambda found: found is not None and reached(found),
            timeout_seconds=PATIENCE_SECONDS,
        )
        assert found is not None
        return found

    async def one(self, kind: Kind, namespace: str, reached: Callable[[Object], bool]) -> Object:
        """Wait until one of the objects of a namespace is in a state, and return it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            items, version = await self.cluster.list_with_version(kind, namespace)
            found = next((item for item in items if reached(item)), None)
            if found is None:
                async for event, item in self.cluster.watch(kind, namespace, resource_version=version):
                    if event not in ("BOOKMARK", "DELETED") and reached(item):
                        return item
        assert found is not None
        return found

    async def until_gone(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Wait until there is no such object."""
        await wait_until_gone(self.cluster, kind, name, namespace, timeout_seconds=PATIENCE_SECONDS)

    async def ended(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """Wait until the object is Ready or Stalled as it is now."""
        return await self.until(kind, name, namespace, is_settled)

    @asynccontextmanager
    async def controller_stopped(self, *, grace_seconds: int | None = None) -> AsyncIterator[None]:
        """While the controller is away, as in an upgrade; it is back at the end. No grace: as when its node dies."""
        await self.scale_controller(0, grace_seconds)
        try:
            yield
        finally:
            await self.scale_controller(1)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """While all processes of a part of the sandbox are stopped, as on a machine that hangs."""
        leader = self.sandbox.pid_of(part)
        os.killpg(leader, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(leader, signal.SIGCONT)

    async def install(self, **controller: Any) -> None:
        """Install the chart again with other values of the controller, and wait for the new pod."""
        before = await self._pods()
        values = {**self.values, "controller": {**self.values["controller"], **controller}}
        await chart.install(self.kubectl, values)
        for pod in before:
            await self.until_gone(POD, pod, OPERATOR)
        await self.until(DEPLOYMENT, "safehold", OPERATOR, _is_available)

    async def scale_controller(self, replicas: int, grace_seconds: int | None = None) -> None:
        """Stop the controller (0), or start it (1), and wait until it is so."""
        before = await self._pods()
        await self.cluster.patch(DEPLOYMENT, "safehold", {"spec": {"replicas": replicas}}, OPERATOR)
        if grace_seconds is not None:
            # A pod that goes before its ReplicaSet has been scaled is replaced, and the new one goes to work.
            await self._no_replicas()
            for pod in await self._pods():
                await self.cluster.delete(POD, pod, OPERATOR, grace_seconds=grace_seconds)
        for pod in before:
            await self.until_gone(POD, pod, OPERATOR)
        if replicas:
            await self.until(DEPLOYMENT, "safehold", OPERATOR, _is_available)

    async def _no_replicas(self) -> None:
        for replica_set in await self.cluster.list(REPLICA_SET, OPERATOR, labels=_LABELS):
            await self.until(REPLICA_SET, replica_set["metadata"]["name"], OPERATOR, _is_scaled_to_none)

    async def _pods(self) -> list[str]:
        """Names of the controller's pods: one, or none while it is stopped."""
        pods = await self.cluster.list(POD, OPERATOR, labels=_LABELS)
        return [pod["metadata"]["name"] for pod in pods]


def is_settled(found: Object) -> bool:
    """Whether Ready or Stalled is True for the object's present generation."""
    generation = found["metadata"].get("generation")
    return any(
        condition(found, kind).get("status") == "True"
        and condition(found, kind).get("observedGeneration") == generation
        for kind in ("Ready", "Stalled")
    )


def _is_scaled_to_none(replica_set: Object) -> bool:
    seen = (replica_set.get("status") or {}).get("observedGeneration")
    return bool(replica_set["spec"]["replicas"] == 0 and seen == replica_set["metadata"]["generation"])


def _is_available(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    generation = deployment["metadata"]["generation"]
    return status.get("observedGeneration") == generation and status.get("availableReplicas") == 1


@asynccontextmanager
async def running_world(
    state: Path, *, no_qemu: bool, buckets: Iterable[str] = (BUCKET,), **values: Any
) -> AsyncIterator[World]:
    """Start the sandbox, install the chart with these values besides, and make the shared target."""
    async with (
        Sandbox(state, no_qemu=no_qemu, buckets=tuple(buckets)) as sandbox,
        Cluster.connect(sandbox.kubeconfig, "tests") as cluster,
    ):
        world = World(
            sandbox=sandbox,
            kubectl=Kubectl(sandbox.kubeconfig),
            cluster=cluster,
            values={**_values(), **values},
            recorder=Recorder(cluster, sandbox.state / "kubelet" / "pods", sandbox.state / "kept-logs"),
            access=_access(sandbox.s3_credentials),
            key=RepositoryKey.generate(),
        )
        await chart.install(world.kubectl, world.values)
        await world.secret(OPERATOR, "credentials", world.access)
        await world.secret(OPERATOR, "key", {"repository.key": world.key.text()})
        await world.apply(world.target(SHARED))
        async with world.recorder.running():
            await world.until(CLUSTER_BACKUP_TARGET, SHARED, None, is_ready)
            yield world


def _values() -> Object:
    """The sandbox's pods share this machine's network, so the controller gets free ports of it."""
    metrics, health = free_ports(2)
    return {
        "controller": {
            "allowLocalEndpoints": True,
            "ports": {"metrics": metrics, "health": health},
            "env": {"SAFEHOLD_POLL_SECONDS": POLL_SECONDS},
        }
    }


def _access(profile: Path) -> dict[str, str]:
    parser = RawConfigParser()
    parser.read(profile)
    keys = parser["default"]
    return {"accessKeyId": keys["aws_access_key_id"], "secretAccessKey": keys["aws_secret_access_key"]}
