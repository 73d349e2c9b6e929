"""What storage installs in the cluster: CRDs of snapshots and changed blocks, their classes, and CSIDrivers."""

from __future__ import annotations

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    CSI_DRIVER,
    SNAPSHOT_METADATA_SERVICE,
    STORAGE_CLASS,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.csi.names import DEFAULT_CLASS, DEFAULT_SNAPSHOT_CLASS, DRIVER, DRIVER_WITHOUT_SNAPSHOTS

_STRING: Object = {"type": "string"}
_BOOLEAN: Object = {"type": "boolean"}
_INT64: Object = {"type": "integer", "format": "int64"}
_TIME: Object = {"type": "string", "format": "date-time"}
_POLICY: Object = {"type": "string", "enum": ["Delete", "Retain"]}
_QUANTITY: Object = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def _object(properties: Object, more: Object | None = None) -> Object:
    return {"type": "object", "properties": properties, **(more or {})}


def _immutable(field: str) -> Object:
    """A string that may be set once."""
    return {**_STRING, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": f"{field} is immutable"}]}


def _one_of(first: str, second: str) -> Object:
    rules = [
        {
            "rule": f"has(self.{first}) != has(self.{second})",
            "message": f"exactly one of {first} and {second} must be set",
        },
        {"rule": f"!has(oldSelf.{first}) || has(self.{first})", "message": f"{first} is required once set"},
        {"rule": f"!has(oldSelf.{second}) || has(self.{second})", "message": f"{second} is required once set"},
    ]
    return {"x-kubernetes-validations": rules}


_ERROR = _object({"message": _STRING, "time": _TIME})
_SNAPSHOT = {
    "spec": _object(
        {
            "source": _object(
                {
                    "persistentVolumeClaimName": _immutable("persistentVolumeClaimName"),
                    "volumeSnapshotContentName": _immutable("volumeSnapshotContentName"),
                },
                _one_of("persistentVolumeClaimName", "volumeSnapshotContentName"),
            ),
            "volumeSnapshotClassName": {**_STRING, "minLength": 1},
        },
        {"required": ["source"]},
    ),
    "status": _object(
        {
            "boundVolumeSnapshotContentName": _STRING,
            "creationTime": _TIME,
            "error": _ERROR,
            "readyToUse": _BOOLEAN,
            "restoreSize": _QUANTITY,
            "volumeGroupSnapshotName": _STRING,
        }
    ),
}
_REFERENCE = _object(
    dict.fromkeys(("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"), _STRING),
    {
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [
            {
                "rule": "has(self.name) && has(self.__namespace__)",
                "message": "both volumeSnapshotRef.name and volumeSnapshotRef.namespace must be set",
            }
        ],
    },
)
_CONTENT = {
    "spec": _object(
        {
            "deletionPolicy": _POLICY,
            "driver": _STRING,
            "source": _object(
                {"volumeHandle": _immutable("volumeHandle"), "snapshotHandle": _immutable("snapshotHandle")},
                _one_of("volumeHandle", "snapshotHandle"),
            ),
            "sourceVolumeMode": _immutable("sourceVolumeMode"),
            "volumeSnapshotClassName": _STRING,
            "volumeSnapshotRef": _REFERENCE,
        },
        {"required": ["deletionPolicy", "driver", "source", "volumeSnapshotRef"]},
    ),
    "status": _object(
        {
            "creationTime": _INT64,
            "error": _ERROR,
            "readyToUse": _BOOLEAN,
            "restoreSize": {**_INT64, "minimum": 0},
            "snapshotHandle": _STRING,
            "volumeGroupSnapshotHandle": _STRING,
        }
    ),
}
_CLASS = {
    "deletionPolicy": _POLICY,
    "driver": _STRING,
    "parameters": {"type": "object", "additionalProperties": _STRING},
}
_METADATA_SERVICE = {
    "spec": _object(
        {"address": _STRING, "audience": _STRING, "caCert": {**_STRING, "format": "byte"}},
        {"required": ["address", "audience", "caCert"]},
    )
}
_SNAPSHOT_COLUMNS = (
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("SourcePVC", "string", ".spec.source.persistentVolumeClaimName"),
    ("SourceSnapshotContent", "string", ".spec.source.volumeSnapshotContentName"),
    ("RestoreSize", "string", ".status.restoreSize"),
    ("SnapshotClass", "string", ".spec.volumeSnapshotClassName"),
    ("SnapshotContent", "string", ".status.boundVolumeSnapshotContentName"),
    ("CreationTime", "date", ".status.creationTime"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_CONTENT_COLUMNS = (
    ("ReadyToUse", "boolean", ".status.readyToUse"),
    ("RestoreSize", "integer", ".status.restoreSize"),
    ("DeletionPolicy", "string", ".spec.deletionPolicy"),
    ("Driver", "string", ".spec.driver"),
    ("VolumeSnapshotClass", "string", ".spec.volumeSnapshotClassName"),
    ("VolumeSnapshot", "string", ".spec.volumeSnapshotRef.name"),
    ("VolumeSnapshotNamespace", "string", ".spec.volumeSnapshotRef.namespace"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_CLASS_COLUMNS = (
    ("Driver", "string", ".driver"),
    ("DeletionPolicy", "string", ".deletionPolicy"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


def _crd(
    kind: Kind, short_names: list[str], properties: Object, required: list[str], columns: tuple[tuple[str, ...], ...]
) -> Object:
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties, "required": required}},
        "additionalPrinterColumns": [
            {"name": name, "type": column_type, "jsonPath": path} for name, column_type, path in columns
        ],
    }
    if "status" in properties:
        version["subresources"] = {"status": {}}
    return {
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved"},
        },
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": short_names,
            },
            "versions": [version],
        },
    }


DEFINITIONS: tuple[Object, ...] = (
    _crd(VOLUME_SNAPSHOT, ["vs"], _SNAPSHOT, ["spec"], _SNAPSHOT_COLUMNS),
    _crd(VOLUME_SNAPSHOT_CONTENT, ["vsc", "vscs"], _CONTENT, ["spec"], _CONTENT_COLUMNS),
    _crd(VOLUME_SNAPSHOT_CLASS, ["vsclass", "vsclasses"], _CLASS, ["deletionPolicy", "driver"], _CLASS_COLUMNS),
    _crd(SNAPSHOT_METADATA_SERVICE, ["sms"], _METADATA_SERVICE, ["spec"], ()),
)


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
