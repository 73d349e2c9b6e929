"""The caches that all controllers of KubeVirt share."""

from __future__ import annotations

from sandbox.cluster import kinds
from sandbox.cluster.caches import InformerSet
from sandbox.cluster.client import Cluster, Object
from sandbox.kubevirt.configuration import Configuration
from sandbox.kubevirt.volumes import snapshot_class


class Caches(InformerSet):
    """One informer per kind."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.machines = self.cached(kinds.VIRTUAL_MACHINE)
        self.instances = self.cached(kinds.VIRTUAL_MACHINE_INSTANCE)
        self.snapshots = self.cached(kinds.VM_SNAPSHOT)
        self.contents = self.cached(kinds.VM_SNAPSHOT_CONTENT)
        self.restores = self.cached(kinds.VM_RESTORE)
        self.exports = self.cached(kinds.VM_EXPORT)
        self.backups = self.cached(kinds.VM_BACKUP)
        self.trackers = self.cached(kinds.VM_BACKUP_TRACKER)
        self.migrations = self.cached(kinds.VM_MIGRATION)
        self.configurations = self.cached(kinds.KUBEVIRT)
        self.namespaces = self.cached(kinds.NAMESPACE)
        self.pods = self.cached(kinds.POD)
        self.claims = self.cached(kinds.PERSISTENT_VOLUME_CLAIM)
        self.volumes = self.cached(kinds.PERSISTENT_VOLUME)
        self.storage_classes = self.cached(kinds.STORAGE_CLASS)
        self.storage_profiles = self.cached(kinds.STORAGE_PROFILE)
        self.volume_snapshots = self.cached(kinds.VOLUME_SNAPSHOT)
        self.volume_snapshot_classes = self.cached(kinds.VOLUME_SNAPSHOT_CLASS)

    def snapshot_class_of(self, claim: Object) -> str | None:
        """The VolumeSnapshotClass with which a claim's volume can be snapshotted, if there is one."""
        name = claim["spec"].get("storageClassName") or ""
        storage_class, profile = self.storage_classes.get(name), self.storage_profiles.get(name)
        return snapshot_class(claim, storage_class, self.volume_snapshot_classes.list(), profile)

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
