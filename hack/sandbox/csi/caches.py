"""The caches that all storage controllers share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandbox.cluster import kinds
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.informer import Informer
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.names import DEFAULT_CLASS


@dataclass(frozen=True, slots=True)
class Caches:
    """One informer per kind."""

    claims: Informer
    volumes: Informer
    classes: Informer
    pods: Informer
    snapshots: Informer
    contents: Informer
    snapshot_classes: Informer

    @classmethod
    def of(cls, cluster: Cluster) -> Caches:
        """Informers that nobody runs yet."""
        return cls(
            claims=Informer(cluster, kinds.PERSISTENT_VOLUME_CLAIM),
            volumes=Informer(cluster, kinds.PERSISTENT_VOLUME),
            classes=Informer(cluster, kinds.STORAGE_CLASS),
            pods=Informer(cluster, kinds.POD),
            snapshots=Informer(cluster, kinds.VOLUME_SNAPSHOT),
            contents=Informer(cluster, kinds.VOLUME_SNAPSHOT_CONTENT),
            snapshot_classes=Informer(cluster, kinds.VOLUME_SNAPSHOT_CLASS),
        )

    def all(self) -> tuple[Informer, ...]:
        """Every informer."""
        return (
            self.claims,
            self.volumes,
            self.classes,
            self.pods,
            self.snapshots,
            self.contents,
            self.snapshot_classes,
        )

    async def run(self) -> None:
        """Keeps all caches current until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.all():
                tasks.create_task(informer.run())

    def class_of(self, claim: Object) -> Object | None:
        """The claim's StorageClass, or None if it names none or one that does not exist."""
        return self.classes.get(claim["spec"].get("storageClassName") or "")

    def default_class(self) -> Object | None:
        """The StorageClass that claims without one get."""
        marked = (item for item in self.classes.list() if annotations_of(item).get(DEFAULT_CLASS) == "true")
        return min(marked, key=lambda item: str(item["metadata"]["name"]), default=None)
