"""A whole sandbox with the controller in it: what flow tests create, wait for and look at."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    NAMESPACE,
    SECRET,
    SERVICE_ACCOUNT,
    VM,
    VM_BACKUP,
    VM_RESTORE,
    VMI,
    VOLUME,
    Kind,
)
from sandbox.cluster import kinds as sandbox_kinds
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.waiting import wait_until
from sandbox.csi.driver import volume_path

OPERATOR = "safehold"
SIZE = "32Mi"


@dataclass(frozen=True)
class LiveCluster:
    """Clients of one running sandbox, and the verbs that flow tests are written in."""

    cluster: Cluster
    sandbox: SandboxCluster
    volumes: Path
    endpoint: str
    access: dict[str, str] = field(repr=False)
    key: bytes = field(repr=False)

    async def namespace(self, name: str, **annotations: str) -> None:
        """A namespace that the shared target serves; annotations are given as `allow_restore_to="x"`."""
        named = {f"safehold.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        metadata = {"name": name, "labels": {"backup": "allowed"}, "annotations": named}
        await self.cluster.create(NAMESPACE, {"metadata": metadata})

    async def secret(self, namespace: str, name: str, **values: str | bytes) -> None:
        """A Secret; keys are given as in `repository_key`, which means repository.key."""
        data = {
            key.replace("_", "."): base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
            for key, value in values.items()
        }
        manifest = {"metadata": {"name": name, "namespace": namespace}, "data": data}
        await self.cluster.create(SECRET, manifest)

    def target(self, name: str, kind: Kind = CLUSTER_BACKUP_TARGET, **changes: Any) -> Manifest:
        """A target in a place of its own, with the right Secrets; `changes` replace parts of its spec."""
        s3 = {"bucket": "backups", "prefix": name, "endpoint": self.endpoint, **changes.pop("s3", {})}
        spec = {
            "s3": s3,
            "credentialsSecretRef": {"name": "credentials"},
            "encryption": {"keySecretRef": {"name": "key"}},
            **changes,
        }
        if kind is CLUSTER_BACKUP_TARGET:
            spec["allowedNamespaces"] = {"matchLabels": {"backup": "allowed"}}
        return {"metadata": {"name": name}, "spec": spec}

    async def machine(self, namespace: str, name: str, *, storage_class: str = "sandbox") -> None:
        """A running VM with a Block and a Filesystem volume and a Secret."""
        await self.secret(namespace, f"{name}-init", userdata="#cloud-config")
        for volume, mode in (("data", "Block"), ("files", "Filesystem")):
            spec = {
                "storageClassName": storage_class,
                "volumeMode": mode,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": SIZE}},
            }
            labels = {"app": name}
            metadata = {"name": f"{name}-{volume}", "namespace": namespace, "labels": labels}
            await self.cluster.create(CLAIM, {"metadata": metadata, "spec": spec})
        volumes: list[Manifest] = [
            {"name": volume, "persistentVolumeClaim": {"claimName": f"{name}-{volume}"}} for volume in ("data", "files")
        ]
        volumes.append({"name": "init", "cloudInitNoCloud": {"secretRef": {"name": f"{name}-init"}}})
        disks = [{"name": volume["name"], "disk": {"bus": "virtio"}} for volume in volumes]
        instance = {"domain": {"memory": {"guest": "128Mi"}, "devices": {"disks": disks}}, "volumes": volumes}
        vm = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"runStrategy": "Always", "template": {"spec": instance}},
        }
        await self.cluster.create(VM, vm)
        await self.runs(namespace, name)

    async def runs(self, namespace: str, name: str) -> None:
        """Wait until the VM's instance runs."""
        await self.until(VMI, name, namespace, lambda found: found["status"].get("phase") == "Running")

    async def backup(self, namespace: str, name: str, vm: str, *, target: dict[str, str] | None = None) -> Manifest:
        """A finished VMBackup."""
        ref = target or {"kind": "ClusterBackupTarget", "name": "shared"}
        spec = {"vm": {"name": vm}, "targetRef": ref}
        await self.cluster.create(VM_BACKUP, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        return await self.ended(VM_BACKUP, name, namespace)

    async def restore(self, namespace: str, name: str, *, mode: str = "InPlace", **spec: Any) -> None:
        """Create a VMRestore."""
        target = {"mode": mode, **({"name": spec.pop("vm")} if "vm" in spec else {})}
        manifest = {"metadata": {"name": name, "namespace": namespace}, "spec": {"target": target, **spec}}
        await self.cluster.create(VM_RESTORE, manifest)

    async def ended(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest:
        """Wait until the object is Ready or Stalled."""
        return await self.until(kind, name, namespace, lambda found: bool({"Ready", "Stalled"} & holds(found)))

    async def until(
        self, kind: Kind, name: str, namespace: str | None, reached: Callable[[Manifest], bool], seconds: float = 60
    ) -> Manifest:
        """Wait for a state of an object that exists and has a status."""
        found = await wait_until(
            self.sandbox,
            self._kind(kind),
            name,
            namespace,
            reached=lambda found: found is not None and bool(found.get("status")) and reached(found),
            timeout_seconds=seconds,
        )
        assert found is not None
        return found

    async def until_gone(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Wait until there is no such object."""
        await wait_until(
            self.sandbox,
            self._kind(kind),
            name,
            namespace,
            reached=lambda found: found is None,
            timeout_seconds=60,
        )

    async def digest(self, namespace: str, claim: str) -> str:
        """What the disk under a claim holds."""
        return hashlib.sha256((await self._disk(namespace, claim)).read_bytes()).hexdigest()

    async def scribble(self, namespace: str, claim: str) -> None:
        """Overwrite the beginning of the disk under a claim."""
        with (await self._disk(namespace, claim)).open("r+b") as disk:
            disk.write(b"scribbled" * 1000)

    async def leftovers(self) -> list[str]:
        """What runs have left in the operator's namespace."""
        names: list[str] = []
        for kind in (CLAIM, Kind("batch", "v1", "jobs", "Job"), SECRET):
            found = await self.cluster.list(kind, OPERATOR)
            names += [f"{kind.kind} {item['metadata']['name']}" for item in found]
        return [name for name in names if name not in ("Secret credentials", "Secret key")]

    async def account(self, namespace: str, name: str, rules: list[Manifest]) -> None:
        """A ServiceAccount with these rights in its namespace."""
        rbac = "rbac.authorization.k8s.io"
        metadata = {"name": name, "namespace": namespace}
        await self.cluster.create(SERVICE_ACCOUNT, {"metadata": metadata})
        await self.cluster.create(Kind(rbac, "v1", "roles", "Role"), {"metadata": metadata, "rules": rules})
        binding = {
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        await self.cluster.create(Kind(rbac, "v1", "rolebindings", "RoleBinding"), binding)

    async def _disk(self, namespace: str, claim: str) -> Path:
        found = await self.cluster.read(CLAIM, claim, namespace)
        volume = await self.cluster.read(VOLUME, found["spec"]["volumeName"])
        path = volume_path(self.volumes, volume["spec"]["csi"]["volumeHandle"])
        return path / "disk.img" if path.is_dir() else path

    @staticmethod
    def _kind(kind: Kind) -> sandbox_kinds.Kind:
        return sandbox_kinds.Kind(kind.group, kind.version, kind.plural, kind.kind, kind.namespaced)


def holds(manifest: Manifest) -> set[str]:
    """The conditions that are True for the object as it is now."""
    conditions = (manifest.get("status") or {}).get("conditions") or []
    generation = manifest["metadata"].get("generation")
    return {
        found["type"] for found in conditions if (found["status"], found["observedGeneration"]) == ("True", generation)
    }


def ready(manifest: Manifest) -> tuple[str, str, str]:
    """Status, reason and message of the Ready condition."""
    found = next(condition for condition in manifest["status"]["conditions"] if condition["type"] == "Ready")
    return found["status"], found["reason"], found["message"]
