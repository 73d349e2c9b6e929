"""What storage installs in the cluster: CRDs of snapshots and changed blocks, their classes, and CSIDrivers."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.definitions import BOOLEAN, INTEGER, STRING, TIME, columns, definition, object_of
from sandbox.cluster.kinds import (
    CSI_DRIVER,
    SNAPSHOT_METADATA_SERVICE,
    STORAGE_CLASS,
    STORAGE_PROFILE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.csi.names import DEFAULT_CLASS, DEFAULT_SNAPSHOT_CLASS, DRIVER, DRIVER_WITHOUT_SNAPSHOTS

POLICY: Object = {"type": "string", "enum": ["Delete", "Retain"]}
"""Schema of a deletionPolicy."""
_QUANTITY: Object = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def immutable(field: str) -> Object:
    """A string that may be set once."""
    return {**STRING, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": f"{field} is immutable"}]}


def one_of(first: str, second: str) -> Object:
    """Keywords of an object that has exactly one of two fields, for good."""
    rules = [
        {
            "rule": f"has(self.{first}) != has(self.{second})",
            "message": f"exactly one of {first} and {second} must be set",
        },
        {"rule": f"!has(oldSelf.{first}) || has(self.{first})", "message": f"{first} is required once set"},
        {"rule": f"!has(oldSelf.{second}) || has(self.{second})", "message": f"{second} is required once set"},
    ]
    return {"x-kubernetes-validations": rules}


def reference(field: str) -> Object:
    """A content's reference, called `field`, to the snapshot that it is of."""
    rule = {
        "rule": "has(self.name) && has(self.__namespace__)",
        "message": f"both {field}.name and {field}.namespace must be set",
    }
    parts = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
    atomic = {"x-kubernetes-map-type": "atomic", "x-kubernetes-validations": [rule]}
    return object_of(dict.fromkeys(parts, STRING), more=atomic)


ERROR = object_of({"message": STRING, "time": TIME})
"""Schema of a status.error."""
CLASS_COLUMNS = columns(
    ("Driver", "string", ".driver"),
    ("DeletionPolicy", "string", ".deletionPolicy"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
"""Of the classes of snapshots, and of groups."""
_SNAPSHOT = {
    "spec": object_of(
        {
            "source": object_of(
                {
                    "persistentVolumeClaimName": immutable("persistentVolumeClaimName"),
                    "volumeSnapshotContentName": immutable("volumeSnapshotContentName"),
                },
                more=one_of("persistentVolumeClaimName", "volumeSnapshotContentName"),
            ),
            "volumeSnapshotClassName": {**STRING, "minLength": 1},
        },
        ["source"],
    ),
    "status": object_of(
        {
            "boundVolumeSnapshotContentName": STRING,
            "creationTime": TIME,
            "error": ERROR,
            "readyToUse": BOOLEAN,
            "restoreSize": _QUANTITY,
            "volumeGroupSnapshotName": STRING,
        }
    ),
}
_CONTENT = {
    "spec": object_of(
        {
            "deletionPolicy": POLICY,
            "driver": STRING,
            "source": object_of(
                {"volumeHandle": immutable("volumeHandle"), "snapshotHandle": immutable("snapshotHandle")},
                more=one_of("volumeHandle", "snapshotHandle"),
            ),
            "sourceVolumeMode": immutable("sourceVolumeMode"),
            "volumeSnapshotClassName": STRING,
            "volumeSnapshotRef": reference("volumeSnapshotRef"),
        },
        ["deletionPolicy", "driver", "source", "volumeSnapshotRef"],
    ),
    "status": object_of(
        {
            "creationTime": INTEGER,
            "error": ERROR,
            "readyToUse": BOOLEAN,
            "restoreSize": {**INTEGER, "minimum": 0},
            "snapshotHandle": STRING,
            "volumeGroupSnapshotHandle": STRING,
        }
    ),
}
_CLASS = {
    "deletionPolicy": POLICY,
    "driver": STRING,
    "parameters": {"type": "object", "additionalProperties": STRING},
}
_METADATA_SERVICE = {
    "spec": object_of(
        {"address": STRING, "audience": STRING, "caCert": {**STRING, "format": "byte"}},
        ["address", "audience", "caCert"],
    )
}
_PROFILE = object_of({"snapshotClass": STRING, "storageClass": STRING, "provisioner": STRING})
"""Of CDI the sandbox has this kind only: which VolumeSnapshotClass is preferred. Nobody fills its status."""
_SNAPSHOT_COLUMNS = columns(
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("SourcePVC", "string", ".spec.source.persistentVolumeClaimName"),
    ("SourceSnapshotContent", "string", ".spec.source.volumeSnapshotContentName"),
    ("RestoreSize", "string", ".status.restoreSize"),
    ("SnapshotClass", "string", ".spec.volumeSnapshotClassName"),
    ("SnapshotContent", "string", ".status.boundVolumeSnapshotContentName"),
    ("CreationTime", "date", ".status.creationTime"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_CONTENT_COLUMNS = columns(
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("RestoreSize", "integer", ".status.restoreSize"),
    ("DeletionPolicy", "string", ".spec.deletionPolicy"),
    ("Driver", "string", ".spec.driver"),
    ("VolumeSnapshotClass", "string", ".spec.volumeSnapshotClassName"),
    ("VolumeSnapshot", "string", ".spec.volumeSnapshotRef.name"),
    ("VolumeSnapshotNamespace", "string", ".spec.volumeSnapshotRef.namespace"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
DEFINITIONS: Objects = [
    definition(VOLUME_SNAPSHOT, ["vs"], object_of(_SNAPSHOT, ["spec"]), _SNAPSHOT_COLUMNS, status=True),
    definition(VOLUME_SNAPSHOT_CONTENT, ["vsc", "vscs"], object_of(_CONTENT, ["spec"]), _CONTENT_COLUMNS, status=True),
    definition(
        VOLUME_SNAPSHOT_CLASS,
        ["vsclass", "vsclasses"],
        object_of(_CLASS, ["deletionPolicy", "driver"]),
        CLASS_COLUMNS,
        status=False,
    ),
    definition(STORAGE_PROFILE, [], object_of({"spec": _PROFILE, "status": _PROFILE}), [], status=True),
    definition(SNAPSHOT_METADATA_SERVICE, ["sms"], object_of(_METADATA_SERVICE, ["spec"]), [], status=False),
]


def _storage_class(name: str, driver: str, binding: str, *, default: bool = False) -> Object:
    return {
        "metadata": {"name": name, "annotations": {DEFAULT_CLASS: "true"} if default else {}},
        "provisioner": driver,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": binding,
        "allowVolumeExpansion": True,
    }


CLASSES: tuple[tuple[Kind, Object], ...] = (
    (STORAGE_CLASS, _storage_class("sandbox", DRIVER, "Immediate", default=True)),
    (STORAGE_CLASS, _storage_class("sandbox-wait", DRIVER, "WaitForFirstConsumer")),
    (STORAGE_CLASS, _storage_class("sandbox-plain", DRIVER_WITHOUT_SNAPSHOTS, "Immediate")),
    (
        VOLUME_SNAPSHOT_CLASS,
        {
            "metadata": {"name": "sandbox", "annotations": {DEFAULT_SNAPSHOT_CLASS: "true"}},
            "driver": DRIVER,
            "deletionPolicy": "Delete",
        },
    ),
    *(
        (CSI_DRIVER, {"metadata": {"name": driver}, "spec": {"attachRequired": False, "fsGroupPolicy": "File"}})
        for driver in (DRIVER, DRIVER_WITHOUT_SNAPSHOTS)
    ),
)
