"""One tenant's namespace: the manifests that its user writes, and what its disks hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.kinds import GROUP, VERSION, VM_BACKUP, VM_RESTORE
from tests.e2e.patience import until_none

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    JOB,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    SERVICE_ACCOUNT,
    VIRTUAL_MACHINE_INSTANCE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from sandbox.cluster.kinds import VM_BACKUP as KUBEVIRT_BACKUP
from sandbox.csi.driver import volume_path
from sandbox.demo.kubectl import Kubectl
from sandbox.kubevirt.volumes import claim_names

if TYPE_CHECKING:
    from tests.e2e.world import World

SIZE = "16Mi"
MODES = {"data": "Block", "files": "Filesystem"}
"""The volumes of a VM, and their modes."""
_RBAC = "rbac.authorization.k8s.io"
_VERBS = ["get", "create", "patch", "delete"]
RESTORER = [
    {"apiGroups": [""], "resources": ["persistentvolumeclaims", "secrets"], "verbs": _VERBS},
    {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines"], "verbs": _VERBS},
]
"""What a restore of the tests' VM needs; ConfigMaps are not among it."""
_OWNED = (
    JOB,
    SECRET,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    VM_SNAPSHOT,
    KUBEVIRT_BACKUP,
)


@dataclass(frozen=True)
class Tenant:
    """A namespace and the user `user`, who may do there what the role `edit` allows, and nothing elsewhere."""

    world: World
    name: str

    @property
    def user(self) -> str:
        """The user's name: that of the ServiceAccount `tenant`."""
        return f"system:serviceaccount:{self.name}:tenant"

    @property
    def kubectl(self) -> Kubectl:
        """The command as the tenant's user."""
        return self.world.acting_as(self.user)

    async def admit(self) -> None:
        """Make the user and give it the role `edit`."""
        subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": self.name}
        await self.world.apply(
            self.manifest("v1", "ServiceAccount", "tenant"),
            {
                **self.manifest(f"{_RBAC}/v1", "RoleBinding", "tenant"),
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "edit"},
                "subjects": [subject],
            },
        )
        await self.world.until(SERVICE_ACCOUNT, "tenant", self.name, bool)

    async def account(self, name: str, rules: list[Object]) -> None:
        """A ServiceAccount with these rights in the namespace."""
        binding = self.manifest(f"{_RBAC}/v1", "RoleBinding", name)
        reference = {"apiGroup": _RBAC, "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.name}
        await self.world.apply(
            self.manifest("v1", "ServiceAccount", name),
            {**self.manifest(f"{_RBAC}/v1", "Role", name), "rules": rules},
            {**binding, "roleRef": reference, "subjects": [subject]},
        )

    async def apply(self, *manifests: Object) -> None:
        """Apply manifests as the tenant's user."""
        await self.world.apply(*manifests, kubectl=self.kubectl)

    def manifest(self, api_version: str, kind: str, name: str, spec: Object | None = None) -> Object:
        """An object of this namespace."""
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **({"spec": spec} if spec else {})}

    def backup(self, name: str, vm: str, target: str | Object = "shared", **spec: Any) -> Object:
        """A VMBackup to a ClusterBackupTarget of that name, or to another `targetRef`."""
        reference = {"kind": "ClusterBackupTarget", "name": target} if isinstance(target, str) else target
        return self.manifest(
            f"{GROUP}/{VERSION}", "VMBackup", name, {"vm": {"name": vm}, "targetRef": reference, **spec}
        )

    def restore(self, name: str, source: Object, new_vm: str | None = None, **spec: Any) -> Object:
        """A VMRestore in place, or of a new VM of that name; `target` says it otherwise."""
        target = {"mode": "NewVM", "name": new_vm} if new_vm else {"mode": "InPlace"}
        target = spec.pop("target", target)
        return self.manifest(f"{GROUP}/{VERSION}", "VMRestore", name, {"source": source, "target": target, **spec})

    def policy(self, name: str, **spec: Any) -> Object:
        """A BackupPolicy of all VMs that is not due within a test; `spec` replaces parts."""
        common = {"schedule": "0 0 1 1 *", "targetRef": {"kind": "ClusterBackupTarget", "name": "shared"}}
        return self.manifest(f"{GROUP}/{VERSION}", "BackupPolicy", name, {**common, **spec})

    async def machine(
        self,
        name: str,
        *,
        storage_class: str = "sandbox",
        labels: dict[str, str] | None = None,
        more_volumes: Sequence[Object] = (),
        matchers: Mapping[str, Object] | None = None,
        devices: Mapping[str, Object] | None = None,
    ) -> None:
        """A running VM with a Block and a Filesystem volume and a Secret, created by the tenant's user.

        Claims of an earlier VM of that name are taken over. `matchers` are its instancetype and preference, which
        then say how much memory it has; `devices` it has beside its disks.
        """
        await self.world.secret(
            self.name, f"{name}-init", {"userdata": f"#cloud-config password-of-{self.name}-{name}"}
        )
        volumes: list[Object] = [
            *({"name": volume, "persistentVolumeClaim": {"claimName": f"{name}-{volume}"}} for volume in MODES),
            {"name": "init", "cloudInitNoCloud": {"secretRef": {"name": f"{name}-init"}}},
            *more_volumes,
        ]
        disks = [{"name": volume["name"], "disk": {"bus": "virtio"}} for volume in volumes]
        memory: Object = {} if matchers else {"memory": {"guest": "128Mi"}}
        instance = {"domain": {**memory, "devices": {"disks": disks, **(devices or {})}}, "volumes": volumes}
        spec = {"runStrategy": "Always", "template": {"metadata": {}, "spec": instance}, **(matchers or {})}
        vm = self.manifest("kubevirt.io/v1", "VirtualMachine", name, spec)
        vm["metadata"]["labels"] = labels or {}
        claims = [self._claim(f"{name}-{volume}", mode, storage_class) for volume, mode in MODES.items()]
        await self.apply(*claims, vm)
        await self.runs(name)

    def _claim(self, name: str, mode: str, storage_class: str) -> Object:
        spec = {
            "storageClassName": storage_class,
            "volumeMode": mode,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": SIZE}},
        }
        return self.manifest("v1", "PersistentVolumeClaim", name, spec)

    async def runs(self, vm: str) -> None:
        """Wait until the VM's instance runs."""
        await self.world.until(
            VIRTUAL_MACHINE_INSTANCE,
            vm,
            self.name,
            lambda found: (found.get("status") or {}).get("phase") == "Running",
        )

    async def backed_up(self, name: str, vm: str, target: str | Object = "shared", **spec: Any) -> Object:
        """A finished VMBackup, well or badly."""
        await self.apply(self.backup(name, vm, target, **spec))
        return await self.world.ended(VM_BACKUP, name, self.name)

    async def restored(self, name: str, source: Object, new_vm: str | None = None, **spec: Any) -> Object:
        """A finished VMRestore, well or badly."""
        await self.apply(self.restore(name, source, new_vm, **spec))
        return await self.world.ended(VM_RESTORE, name, self.name)

    async def write(self, vm: str, volume: str, content: bytes, offset: int = 0) -> None:
        """Write to a disk as the guest would."""
        with (await self.disk(await self.claim_of(vm, volume))).open("r+b") as disk:
            disk.seek(offset)
            disk.write(content)

    async def digests(self, vm: str) -> dict[str, str]:
        """What each disk of a VM holds."""
        disks = {volume: await self.disk(await self.claim_of(vm, volume)) for volume in MODES}
        return {volume: hashlib.sha256(disk.read_bytes()).hexdigest() for volume, disk in disks.items()}

    async def claim_of(self, vm: str, volume: str) -> str:
        """The claim under a volume of a VM."""
        found = await self.kubectl.get("virtualmachine", vm, self.name)
        volumes = claim_names(found["spec"]["template"]["spec"]["volumes"])
        return volumes[volume]

    async def left_nothing(self) -> None:
        """Wait until nothing of a run is left: what was deleted goes when its finalizers and pods are gone."""
        await until_none(self.leftovers, "left in the cluster")

    async def bases(self) -> dict[str, Object]:
        """The snapshots that are kept to ask what changed since, by the uid of the claim.

        The newest of each: one that it has replaced is still there for the moment that its deletion takes.
        """
        labels = f"safehold.dev/owner-namespace={self.name},safehold.dev/base-of"
        found = await self.world.cluster.list(VOLUME_SNAPSHOT_CONTENT, labels=labels)
        found.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]))
        return {item["metadata"]["labels"]["safehold.dev/base-of"]: item for item in found}

    async def safety_contents(self) -> list[Object]:
        """The contents of the snapshots that restores in place took first, and keep for their time."""
        cluster = self.world.cluster
        taken = await cluster.list(VM_SNAPSHOT, self.name, labels="safehold.dev/undo-of")
        begin = tuple(f"vmsnapshot-{snapshot['metadata']['uid']}-volume-" for snapshot in taken)
        return [
            content
            for content in await cluster.list(VOLUME_SNAPSHOT_CONTENT)
            if content["spec"]["volumeSnapshotRef"]["namespace"] == self.name
            and content["spec"]["volumeSnapshotRef"]["name"].startswith(begin)
        ]

    async def leftovers(self) -> list[str]:
        """What runs for this namespace have left anywhere beside bases, safety snapshots and what nobody asked for."""
        labels = f"safehold.dev/owner-namespace={self.name}"
        kept = {base["metadata"]["name"] for base in (await self.bases()).values()}
        kept |= {content["metadata"]["name"] for content in await self.safety_contents()}
        names = [
            f"{kind.kind} {item['metadata']['name']}"
            for kind in _OWNED
            for item in await self.world.cluster.list(kind, labels=labels)
            if item["metadata"]["name"] not in kept
        ]
        names += [
            f"VolumeSnapshotContent {item['metadata']['name']}"
            for item in await self.world.cluster.list(VOLUME_SNAPSHOT_CONTENT)
            if item["spec"]["volumeSnapshotRef"]["namespace"] == self.name and item["metadata"]["name"] not in kept
        ]
        return names

    async def disk(self, claim: str) -> Path:
        """The file behind a claim's disk."""
        cluster = self.world.cluster
        found = await cluster.get(PERSISTENT_VOLUME_CLAIM, claim, self.name)
        assert found is not None
        volume = await cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
        assert volume is not None
        path = volume_path(self.world.sandbox.state / "csi", volume["spec"]["csi"]["volumeHandle"])
        return path / "disk.img" if path.is_dir() else path
