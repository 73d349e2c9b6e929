"""The definitions of group snapshots, as far as the parts here use them.

No class is installed: whoever wants groups adds one.
"""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.definitions import BOOLEAN, INTEGER, STRING, TIME, columns, definition, list_of, object_of
from sandbox.cluster.kinds import (
    VOLUME_GROUP_SNAPSHOT,
    VOLUME_GROUP_SNAPSHOT_CLASS,
    VOLUME_GROUP_SNAPSHOT_CONTENT,
)
from sandbox.csi.manifests import CLASS_COLUMNS, ERROR, POLICY, immutable, one_of, reference

_SELECTOR = object_of(
    {
        "matchLabels": {"type": "object", "additionalProperties": STRING},
        "matchExpressions": list_of(
            object_of({"key": STRING, "operator": STRING, "values": list_of(STRING)}, ["key", "operator"])
        ),
    },
    more={
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "selector is immutable"}],
    },
)
_GROUP = {
    "spec": object_of(
        {
            "source": object_of(
                {
                    "selector": _SELECTOR,
                    "volumeGroupSnapshotContentName": immutable("volumeGroupSnapshotContentName"),
                },
                more=one_of("selector", "volumeGroupSnapshotContentName"),
            ),
            "volumeGroupSnapshotClassName": {**STRING, "minLength": 1},
        },
        ["source"],
    ),
    "status": object_of(
        {
            "boundVolumeGroupSnapshotContentName": immutable("boundVolumeGroupSnapshotContentName"),
            "creationTime": TIME,
            "error": ERROR,
            "readyToUse": BOOLEAN,
        }
    ),
}
_HANDLES = object_of(
    {"volumeGroupSnapshotHandle": STRING, "volumeSnapshotHandles": list_of(STRING)},
    ["volumeGroupSnapshotHandle", "volumeSnapshotHandles"],
)
_MEMBER = object_of(
    {
        "creationTime": INTEGER,
        "readyToUse": BOOLEAN,
        "restoreSize": INTEGER,
        "snapshotHandle": STRING,
        "volumeHandle": STRING,
    }
)
_CONTENT = {
    "spec": object_of(
        {
            "deletionPolicy": POLICY,
            "driver": immutable("driver"),
            "source": object_of(
                {"volumeHandles": list_of(STRING), "groupSnapshotHandles": _HANDLES},
                more=one_of("volumeHandles", "groupSnapshotHandles"),
            ),
            "volumeGroupSnapshotClassName": immutable("volumeGroupSnapshotClassName"),
            "volumeGroupSnapshotRef": reference("volumeGroupSnapshotRef"),
        },
        ["deletionPolicy", "driver", "source", "volumeGroupSnapshotRef"],
    ),
    "status": object_of(
        {
            "creationTime": TIME,
            "error": ERROR,
            "readyToUse": BOOLEAN,
            "volumeGroupSnapshotHandle": STRING,
            "volumeSnapshotInfoList": list_of(_MEMBER),
        }
    ),
}
_CLASS: Object = {
    "deletionPolicy": POLICY,
    "driver": immutable("driver"),
    "parameters": {"type": "object", "additionalProperties": STRING},
}
_GROUP_COLUMNS = columns(
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("VolumeGroupSnapshotClass", "string", ".spec.volumeGroupSnapshotClassName"),
    ("VolumeGroupSnapshotContent", "string", ".status.boundVolumeGroupSnapshotContentName"),
    ("CreationTime", "date", ".status.creationTime"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_CONTENT_COLUMNS = columns(
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("DeletionPolicy", "string", ".spec.deletionPolicy"),
    ("Driver", "string", ".spec.driver"),
    ("VolumeGroupSnapshotClass", "string", ".spec.volumeGroupSnapshotClassName"),
    ("VolumeGroupSnapshotNamespace", "string", ".spec.volumeGroupSnapshotRef.namespace"),
    ("VolumeGroupSnapshot", "string", ".spec.volumeGroupSnapshotRef.name"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
GROUP_DEFINITIONS: Objects = [
    definition(VOLUME_GROUP_SNAPSHOT, ["vgs"], object_of(_GROUP, ["spec"]), _GROUP_COLUMNS, status=True),
    definition(
        VOLUME_GROUP_SNAPSHOT_CONTENT,
        ["vgsc", "vgscs"],
        object_of(_CONTENT, ["spec"]),
        _CONTENT_COLUMNS,
        status=True,
    ),
    definition(
        VOLUME_GROUP_SNAPSHOT_CLASS,
        ["vgsclass", "vgsclasses"],
        object_of(_CLASS, ["deletionPolicy", "driver"]),
        CLASS_COLUMNS,
        status=False,
    ),
]
