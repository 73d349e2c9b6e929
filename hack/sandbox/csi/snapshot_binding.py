"""What snapshot-controller decides about a VolumeSnapshot, as plain functions over objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import annotations_of
from sandbox.cluster.quantity import format_bytes
from sandbox.csi.binding import volume_mode
from sandbox.csi.names import DEFAULT_SNAPSHOT_CLASS


@dataclass(frozen=True, slots=True)
class SnapshotError(Exception):
    """Goes to the VolumeSnapshot's status.error and into an event; `retried` ones are looked at again on their own."""

    reason: str
    message: str
    retried: bool = False


_MISSING = SnapshotError("SnapshotContentMissing", "VolumeSnapshotContent is missing")


def is_static(snapshot: Object) -> bool:
    """True if the snapshot names a content that exists already, instead of a claim to cut."""
    return bool(snapshot["spec"]["source"].get("volumeSnapshotContentName"))


def group_of(snapshot: Object) -> Object | None:
    """The owner reference to the VolumeGroupSnapshot that the snapshot is a member of."""
    owners = snapshot["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner["kind"] == "VolumeGroupSnapshot"), None)


def content_name_of(snapshot: Object) -> str:
    """The content that the snapshot has, or will have; that of a member is named like it."""
    static = snapshot["spec"]["source"].get("volumeSnapshotContentName")
    if not static and group_of(snapshot):
        return f"snapcontent-{snapshot['metadata']['name'].removeprefix('snapshot-')}"
    return str(static or f"snapcontent-{snapshot['metadata']['uid']}")


def check_content(snapshot: Object, content: Object | None) -> Object:
    """The content if it may be bound to the snapshot. Raises SnapshotError."""
    if content is None:
        raise _MISSING
    name = content["metadata"]["name"]
    if is_static(snapshot) and not content["spec"]["source"].get("snapshotHandle"):
        message = "VolumeSnapshotContent is dynamically provisioned while expecting a pre-provisioned one"
        raise SnapshotError("SnapshotContentMismatch", message)
    if not is_bound_to(content, snapshot) and not is_reserved_for(content, snapshot):
        message = f"VolumeSnapshotContent [{name}] is bound to a different snapshot"
        raise SnapshotError("SnapshotContentMisbound", message)
    return content


def is_bound_to(content: Object, snapshot: Object) -> bool:
    """True if the content belongs to this very snapshot."""
    reference, metadata = content["spec"]["volumeSnapshotRef"], snapshot["metadata"]
    same_name = (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
    return same_name and reference.get("uid") == metadata["uid"]


def is_reserved_for(content: Object, snapshot: Object) -> bool:
    """True if the content waits for whatever snapshot has this name."""
    reference, metadata = content["spec"]["volumeSnapshotRef"], snapshot["metadata"]
    same_name = (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
    return same_name and not reference.get("uid")


def check_claim(snapshot: Object, claim: Object | None, volume: Object | None) -> Object:
    """The CSI volume of the claim to cut. Raises SnapshotError."""
    name = snapshot["spec"]["source"]["persistentVolumeClaimName"]
    if claim is None:
        where = f"{snapshot['metadata']['namespace']}/{name}"
        raise _creation_failed(f"snapshot controller failed to update {where}: persistentvolumeclaim not found")
    if (claim.get("status") or {}).get("phase") != "Bound" or volume is None:
        raise _creation_failed(f"the PVC {name} is not yet bound to a PV, will not attempt to take a snapshot")
    if not volume["spec"].get("csi"):
        raise _creation_failed(f"the volume of PVC {name} is not a CSI volume")
    return volume


def snapshot_class(snapshot: Object, driver: str, classes: list[Object]) -> Object:
    """The snapshot's class: the named one, or the driver's default. Raises SnapshotError."""
    name = snapshot["spec"].get("volumeSnapshotClassName")
    if name:
        for item in classes:
            if item["metadata"]["name"] == name:
                if item["driver"] == driver:
                    return item
                raise _creation_failed(f"class {name} is of driver {item['driver']}, the volume of driver {driver}")
        raise _creation_failed(f'volumesnapshotclass.snapshot.storage.k8s.io "{name}" not found')
    defaults = [
        item
        for item in classes
        if item["driver"] == driver and annotations_of(item).get(DEFAULT_SNAPSHOT_CLASS) == "true"
    ]
    if len(defaults) != 1:
        raise _creation_failed(f"{len(defaults)} default snapshot classes found for driver {driver}, one is needed")
    return defaults[0]


def dynamic_content(snapshot: Object, volume: Object, chosen: Object) -> Object:
    """The VolumeSnapshotContent that asks the driver to cut the volume."""
    metadata = snapshot["metadata"]
    return {
        "metadata": {"name": content_name_of(snapshot)},
        "spec": {
            "deletionPolicy": chosen["deletionPolicy"],
            "driver": chosen["driver"],
            "source": {"volumeHandle": volume["spec"]["csi"]["volumeHandle"]},
            "sourceVolumeMode": volume_mode(volume),
            "volumeSnapshotClassName": chosen["metadata"]["name"],
            "volumeSnapshotRef": {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        },
    }


def snapshot_status(snapshot: Object, content: Object) -> Object:
    """The status of a bound snapshot, taken from its content."""
    before, seen = snapshot.get("status") or {}, content.get("status") or {}
    status = {**before, "boundVolumeSnapshotContentName": content["metadata"]["name"]}
    status["readyToUse"] = bool(seen.get("readyToUse"))
    if (group := group_of(snapshot)) and seen.get("volumeGroupSnapshotHandle"):
        status["volumeGroupSnapshotName"] = group["name"]
    if seen.get("creationTime"):
        status["creationTime"] = timestamp(datetime.fromtimestamp(seen["creationTime"] / 1e9, UTC))
    if seen.get("restoreSize"):
        status["restoreSize"] = format_bytes(seen["restoreSize"])
    if status["readyToUse"] or not seen.get("error"):
        status.pop("error", None)
    else:
        status["error"] = seen["error"]
    return status


def is_ready(snapshot: Object) -> bool:
    """True once the snapshot can be restored."""
    return bool((snapshot.get("status") or {}).get("readyToUse"))


def _creation_failed(message: str) -> SnapshotError:
    text = f"Failed to create snapshot content with error {message}"
    return SnapshotError("SnapshotContentCreationFailed", text, retried=True)
