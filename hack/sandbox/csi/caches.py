"""The caches that all storage controllers share."""

from __future__ import annotations

from sandbox.cluster import kinds
from sandbox.cluster.caches import InformerSet
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.names import DEFAULT_CLASS


class Caches(InformerSet):
    """One informer per kind."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.claims = self.cached(kinds.PERSISTENT_VOLUME_CLAIM)
        self.volumes = self.cached(kinds.PERSISTENT_VOLUME)
        self.classes = self.cached(kinds.STORAGE_CLASS)
        self.pods = self.cached(kinds.POD)
        self.snapshots = self.cached(kinds.VOLUME_SNAPSHOT)
        self.contents = self.cached(kinds.VOLUME_SNAPSHOT_CONTENT)
        self.snapshot_classes = self.cached(kinds.VOLUME_SNAPSHOT_CLASS)
        self.groups = self.cached(kinds.VOLUME_GROUP_SNAPSHOT)
        self.group_contents = self.cached(kinds.VOLUME_GROUP_SNAPSHOT_CONTENT)
        self.group_classes = self.cached(kinds.VOLUME_GROUP_SNAPSHOT_CLASS)

    def class_of(self, claim: Object) -> Object | None:
        """The claim's StorageClass, or None if it names none or one that does not exist."""
        return self.classes.get(claim["spec"].get("storageClassName") or "")

    def default_class(self) -> Object | None:
        """The StorageClass that claims without one get."""
        marked = (item for item in self.classes.list() if annotations_of(item).get(DEFAULT_CLASS) == "true")
        return min(marked, key=lambda item: str(item["metadata"]["name"]), default=None)
