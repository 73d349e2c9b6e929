"""The caches that all controllers of KubeVirt share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields

from sandbox.cluster import kinds
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.informer import Informer
from sandbox.kubevirt.configuration import Configuration
from sandbox.kubevirt.volumes import snapshot_class


@dataclass(frozen=True, slots=True)
class Caches:
    """One informer per kind."""

    machines: Informer
    instances: Informer
    snapshots: Informer
    contents: Informer
    restores: Informer
    exports: Informer
    backups: Informer
    trackers: Informer
    configurations: Informer
    namespaces: Informer
    pods: Informer
    claims: Informer
    volumes: Informer
    storage_classes: Informer
    volume_snapshots: Informer
    volume_snapshot_classes: Informer

    @classmethod
    def of(cls, cluster: Cluster) -> Caches:
        """Informers that nobody runs yet."""
        return cls(
            machines=Informer(cluster, kinds.VIRTUAL_MACHINE),
            instances=Informer(cluster, kinds.VIRTUAL_MACHINE_INSTANCE),
            snapshots=Informer(cluster, kinds.VM_SNAPSHOT),
            contents=Informer(cluster, kinds.VM_SNAPSHOT_CONTENT),
            restores=Informer(cluster, kinds.VM_RESTORE),
            exports=Informer(cluster, kinds.VM_EXPORT),
            backups=Informer(cluster, kinds.VM_BACKUP),
            trackers=Informer(cluster, kinds.VM_BACKUP_TRACKER),
            configurations=Informer(cluster, kinds.KUBEVIRT),
            namespaces=Informer(cluster, kinds.NAMESPACE),
            pods=Informer(cluster, kinds.POD),
            claims=Informer(cluster, kinds.PERSISTENT_VOLUME_CLAIM),
            volumes=Informer(cluster, kinds.PERSISTENT_VOLUME),
            storage_classes=Informer(cluster, kinds.STORAGE_CLASS),
            volume_snapshots=Informer(cluster, kinds.VOLUME_SNAPSHOT),
            volume_snapshot_classes=Informer(cluster, kinds.VOLUME_SNAPSHOT_CLASS),
        )

    def all(self) -> tuple[Informer, ...]:
        """Every informer."""
        return tuple(getattr(self, field.name) for field in fields(self))

    async def run(self) -> None:
        """Keeps all caches current until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.all():
                tasks.create_task(informer.run())

    def snapshot_class_of(self, claim: Object) -> str | None:
        """The VolumeSnapshotClass with which a claim's volume can be snapshotted, if there is one."""
        storage_class = self.storage_classes.get(claim["spec"].get("storageClassName") or "")
        return snapshot_class(claim, storage_class, self.volume_snapshot_classes.list())

    @property
    def configuration(self) -> Configuration:
        """KubeVirt's configuration as last seen."""
        return Configuration.of(self.configurations.list())

    def tracks_blocks(self, vm: Object) -> bool:
        """True if the labels of the VM or its namespace ask for changed block tracking, whatever the gates say."""
        return self.configuration.selects(vm, self.namespaces.get(vm["metadata"]["namespace"]))

    def claims_named(self, names: list[str], namespace: str) -> dict[str, Object]:
        """Those of the claims that exist, by name."""
        found = {name: self.claims.get(name, namespace) for name in names}
        return {name: claim for name, claim in found.items() if claim is not None}
