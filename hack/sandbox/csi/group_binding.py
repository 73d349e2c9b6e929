"""What snapshot-controller decides about a VolumeGroupSnapshot, as plain functions over objects.

Written after the source of external-snapshotter 8.4; no recording of a group exists.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.binding import volume_mode
from sandbox.csi.names import DEFAULT_GROUP_CLASS, GROUP_HANDLE, SNAPSHOT_IN_GROUP_PROTECTION
from sandbox.csi.snapshot_binding import SnapshotError


def group_content_name(group: Object) -> str:
    """The content that the group has, or will have."""
    return f"groupsnapcontent-{group['metadata']['uid']}"


def is_bound_to_group(content: Object, group: Object) -> bool:
    """True if the content belongs to this very group."""
    reference, metadata = content["spec"]["volumeGroupSnapshotRef"], group["metadata"]
    named = (reference.get("namespace"), reference.get("name"), reference.get("uid"))
    return named == (metadata["namespace"], metadata["name"], metadata["uid"])


def group_class(group: Object, driver: str, classes: list[Object]) -> Object:
    """The named class, or the driver's default. Raises SnapshotError."""
    name = group["spec"].get("volumeGroupSnapshotClassName")
    if name:
        found = next((item for item in classes if item["metadata"]["name"] == name), None)
        if found is None:
            raise creation_failed(f'volumegroupsnapshotclass.groupsnapshot.storage.k8s.io "{name}" not found')
        return found
    defaults = [
        item for item in classes if item["driver"] == driver and annotations_of(item).get(DEFAULT_GROUP_CLASS) == "true"
    ]
    if not defaults:
        raise creation_failed("cannot find default group snapshot class")
    if len(defaults) > 1:
        raise creation_failed(f"{len(defaults)} default snapshot classes were found")
    return defaults[0]


def selected_claims(group: Object, claims: list[Object]) -> list[Object]:
    """The claims of the namespace that carry all labels of the selector. Raises SnapshotError if there is none.

    As the controller does, only `matchLabels` is looked at.
    """
    wanted = (group["spec"]["source"]["selector"].get("matchLabels") or {}).items()
    found = [claim for claim in claims if wanted <= (claim["metadata"].get("labels") or {}).items()]
    if not found:
        raise creation_failed("label selector for group snapshot not applied to any PVC")
    for claim in found:
        if (claim.get("status") or {}).get("phase") != "Bound":
            name = claim["metadata"]["name"]
            raise creation_failed(f"the PVC {name} is not yet bound to a PV, will not attempt to take a group snapshot")
    return sorted(found, key=lambda claim: str(claim["metadata"]["name"]))


def dynamic_group_content(group: Object, volumes: list[Object], chosen: Object) -> Object:
    """The VolumeGroupSnapshotContent that asks the driver to cut the volumes. Raises SnapshotError."""
    metadata = group["metadata"]
    for volume in volumes:
        driver = (volume["spec"].get("csi") or {}).get("driver")
        if driver != chosen["driver"]:
            name = volume["metadata"]["name"]
            message = (
                f"Volume CSI driver ({driver}) mismatch with VolumeGroupSnapshotClass ({chosen['driver']}): {name}"
            )
            raise creation_failed(message)
    return {
        "metadata": {"name": group_content_name(group)},
        "spec": {
            "deletionPolicy": chosen["deletionPolicy"],
            "driver": chosen["driver"],
            "source": {"volumeHandles": [volume["spec"]["csi"]["volumeHandle"] for volume in volumes]},
            "volumeGroupSnapshotClassName": chosen["metadata"]["name"],
            "volumeGroupSnapshotRef": {
                "apiVersion": "groupsnapshot.storage.k8s.io/v1",
                "kind": "VolumeGroupSnapshot",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        },
    }


def member_name(group: Object, volume_handle: str) -> str:
    """What follows `snapshot-` and `snapcontent-` in the names of one volume's member and of its content."""
    return hashlib.sha256(f"{group['metadata']['uid']}{volume_handle}".encode()).hexdigest()


def member_content(group: Object, content: Object, info: Object, volume: Object | None) -> Object:
    """The VolumeSnapshotContent of one member. It has no class: nobody deletes or looks up a member by itself."""
    name = member_name(group, info["volumeHandle"])
    handle = content["status"]["volumeGroupSnapshotHandle"]
    return {
        "metadata": {"name": f"snapcontent-{name}", "annotations": {GROUP_HANDLE: handle}},
        "spec": {
            "deletionPolicy": content["spec"]["deletionPolicy"],
            "driver": content["spec"]["driver"],
            "source": {"volumeHandle": info["volumeHandle"]},
            "volumeSnapshotRef": {
                "kind": "VolumeSnapshot",
                "namespace": group["metadata"]["namespace"],
                "name": f"snapshot-{name}",
            },
            **({"sourceVolumeMode": volume_mode(volume)} if volume else {}),
        },
    }


def member_content_status(content: Object, info: Object) -> Object:
    """What the member's content says of its cut, which the group's content knows."""
    return {
        "snapshotHandle": info["snapshotHandle"],
        "volumeGroupSnapshotHandle": content["status"]["volumeGroupSnapshotHandle"],
        "creationTime": info["creationTime"],
        "restoreSize": info["restoreSize"],
        "readyToUse": info["readyToUse"],
    }


def member_snapshot(group: Object, info: Object, volume: Object | None) -> Object:
    """The VolumeSnapshot of one member: the group owns it, without being its controller."""
    metadata = group["metadata"]
    claim = (volume["spec"].get("claimRef") or {}).get("name", "") if volume else ""
    return {
        "metadata": {
            "name": f"snapshot-{member_name(group, info['volumeHandle'])}",
            "namespace": metadata["namespace"],
            "finalizers": [SNAPSHOT_IN_GROUP_PROTECTION],
            "ownerReferences": [
                {
                    "apiVersion": "groupsnapshot.storage.k8s.io/v1",
                    "kind": "VolumeGroupSnapshot",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                }
            ],
        },
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    }


def group_status(group: Object, content: Object) -> Object:
    """The status of a bound group, taken from its content."""
    before, seen = group.get("status") or {}, content.get("status") or {}
    status = {**before, "boundVolumeGroupSnapshotContentName": content["metadata"]["name"]}
    status["readyToUse"] = bool(seen.get("readyToUse"))
    if seen.get("creationTime"):
        status.setdefault("creationTime", seen["creationTime"])
    if seen.get("error") and not status["readyToUse"]:
        status["error"] = seen["error"]
    else:
        status.pop("error", None)
    return status


def as_time(nanoseconds: int) -> str:
    """A cut's time as the group's content tells it: in whole seconds."""
    return timestamp(datetime.fromtimestamp(nanoseconds / 1e9, UTC))


def creation_failed(message: str) -> SnapshotError:
    """A complaint that goes to the group's status and is retried."""
    text = f"failed to create group snapshot content with error {message}"
    return SnapshotError("GroupSnapshotContentCreationFailed", text, retried=True)
