"""What a new volume is filled from: the checks of external-provisioner on a claim's data source."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object
from sandbox.cluster.metadata import annotations_of, is_deleting
from sandbox.cluster.quantity import parse_quantity
from sandbox.csi.binding import requested_bytes, volume_mode
from sandbox.csi.caches import Caches
from sandbox.csi.names import ALLOW_MODE_CHANGE

_SNAPSHOT_GROUP = "snapshot.storage.k8s.io"


class SourceError(Exception):
    """The source cannot be used, now or ever: the claim stays Pending and is tried again."""


@dataclass(frozen=True, slots=True)
class Blank:
    """A new, empty volume."""


@dataclass(frozen=True, slots=True)
class FromSnapshot:
    """A copy of a snapshot."""

    snapshot: Object
    handle: str


@dataclass(frozen=True, slots=True)
class FromVolume:
    """A clone of another claim's volume."""

    handle: str


@dataclass(frozen=True, slots=True)
class Populated:
    """Somebody else makes the volume: the source is of a kind that the provisioner does not know."""


Source = Blank | FromSnapshot | FromVolume | Populated


def source_of(claim: Object, caches: Caches, driver: str) -> Source:
    """The source of a claim, checked. Raises SourceError with the provisioner's words."""
    reference = claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource")
    # With CrossNamespaceVolumeDataSource off, a reference into another namespace counts as none.
    if reference is None or reference.get("namespace"):
        return Blank()
    group, kind, name = reference.get("apiGroup") or "", reference["kind"], reference["name"]
    if (group, kind) == (_SNAPSHOT_GROUP, "VolumeSnapshot"):
        try:
            return _snapshot_source(claim, caches, driver, name)
        except SourceError as error:
            message = f"error getting handle for DataSource Type VolumeSnapshot by Name {name}: {error}"
            raise SourceError(message) from None
    if (group, kind) == ("", "PersistentVolumeClaim"):
        try:
            return _claim_source(claim, caches, driver, name)
        except SourceError as error:
            message = f"error getting handle for DataSource Type PersistentVolumeClaim by Name {name}: {error}"
            raise SourceError(message) from None
    # A custom kind only counts as dataSourceRef: in dataSource alone it is dropped, and the volume is empty.
    return Populated() if claim["spec"].get("dataSourceRef") else Blank()


def _snapshot_source(claim: Object, caches: Caches, driver: str, name: str) -> FromSnapshot:
    snapshot = caches.snapshots.get(name, claim["metadata"]["namespace"])
    if snapshot is None:
        raise SourceError(f'error getting snapshot {name} from api server: volumesnapshots "{name}" not found')
    if is_deleting(snapshot):
        raise SourceError(f"snapshot {name} is being deleted")
    status = snapshot.get("status") or {}
    content_name = status.get("boundVolumeSnapshotContentName") or ""
    content = caches.contents.get(content_name)
    if content is None:
        raise SourceError(f"snapshot {name} is not bound to a snapshotcontent")
    if content["spec"]["volumeSnapshotRef"].get("uid") != snapshot["metadata"]["uid"]:
        raise SourceError(f"snapshotcontent {content_name} for snapshot {name} is bound to a different snapshot")
    if not status.get("readyToUse"):
        raise SourceError(f"snapshot {name} is not Ready")
    if content["spec"]["driver"] != driver:
        raise SourceError(
            f"snapshot {name} is of driver {content['spec']['driver']}, the claim's class of driver {driver}"
        )
    _check_size_and_mode(claim, snapshot, content)
    return FromSnapshot(snapshot, content["status"]["snapshotHandle"])


def _check_size_and_mode(claim: Object, snapshot: Object, content: Object) -> None:
    name = snapshot["metadata"]["name"]
    size, restore_size = requested_bytes(claim), parse_quantity(snapshot["status"].get("restoreSize") or 0)
    if size < restore_size:
        raise SourceError(
            f"requested volume size {size} is less than the size {restore_size} for the source snapshot {name}"
        )
    source_mode = content["spec"].get("sourceVolumeMode")
    if source_mode in (None, volume_mode(claim)) or annotations_of(content).get(ALLOW_MODE_CHANGE) == "true":
        return
    metadata = claim["metadata"]
    raise SourceError(
        f"requested volume {metadata['namespace']}/{metadata['name']} modifies the mode of the source volume but does "
        f"not have permission to do so. {ALLOW_MODE_CHANGE} annotation is not present on snapshotcontent "
        f"{content['metadata']['name']}"
    )


def _claim_source(claim: Object, caches: Caches, driver: str, name: str) -> FromVolume:
    source = caches.claims.get(name, claim["metadata"]["namespace"])
    if source is None or is_deleting(source):
        raise SourceError(f"claim {name} does not exist or is being deleted")
    if (source.get("status") or {}).get("phase") != "Bound":
        raise SourceError(f"the PVC {name} is not bound")
    volume = caches.volumes.get(source["spec"]["volumeName"])
    if volume is None or (volume["spec"].get("csi") or {}).get("driver") != driver:
        raise SourceError(f"the volume of claim {name} is not of driver {driver}")
    size, source_size = requested_bytes(claim), parse_quantity(source["status"]["capacity"]["storage"])
    if size < source_size:
        raise SourceError(
            f"new PVC request must be greater than or equal in size to the source: {size} < {source_size}"
        )
    if volume_mode(claim) != volume_mode(source):
        raise SourceError(f"the source claim {name} has volume mode {volume_mode(source)}")
    return FromVolume(volume["spec"]["csi"]["volumeHandle"])
