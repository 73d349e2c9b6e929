"""Schemas of the kinds that hand out data: exports, backups and their trackers; and of KubeVirt's configuration."""

from __future__ import annotations

from sandbox.cluster.client import Object
from sandbox.cluster.definitions import BOOLEAN, INTEGER, STRING, TIME, list_of, object_of
from sandbox.kubevirt.api.schemas import CONDITIONS, OPEN, REFERENCE, STRINGS, WORDS


def _keyed(items: Object, key: str) -> Object:
    return {**list_of(items), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _rule(message: str, rule: str) -> Object:
    return {"message": message, "rule": rule}


def _named_links(lists: str, what: str) -> Object:
    """Links by name, each with several URLs told apart by the field `what`."""
    urls = _keyed(object_of({what: STRING, "url": STRING}, [what, "url"]), what)
    return _keyed(object_of({"name": STRING, lists: urls}, ["name"]), "name")


_LINKS = object_of(
    {
        "cert": STRING,
        "backups": _named_links("endpoints", "endpoint"),
        "volumes": _named_links("formats", "format"),
        "manifests": _keyed(object_of({"type": STRING, "url": STRING}, ["type", "url"]), "type"),
    },
    ["cert"],
)
EXPORT_SPEC = object_of({"source": REFERENCE, "tokenSecretRef": STRING, "ttlDuration": STRING}, ["source"])
EXPORT_STATUS = object_of(
    {
        "conditions": CONDITIONS,
        "links": object_of({"internal": _LINKS, "external": _LINKS}),
        "phase": STRING,
        "serviceName": STRING,
        "tokenSecretRef": STRING,
        "ttlExpirationTime": TIME,
        "virtualMachineName": STRING,
    }
)

_IMMUTABLE = _rule("spec is immutable after creation", "self == oldSelf")
_NAMED = _rule("name is required", "self.name.size() > 0")
_GROUPS = "self.apiGroup in ['kubevirt.io', 'backup.kubevirt.io']"
_PAIRS = "self.kind == (self.apiGroup == 'kubevirt.io' ? 'VirtualMachine' : 'VirtualMachineBackupTracker')"
_BACKUP_SOURCE = {
    **REFERENCE,
    "x-kubernetes-validations": [
        _rule("apiGroup is required", "has(self.apiGroup)"),
        _rule("apiGroup must be kubevirt.io or backup.kubevirt.io", f"!has(self.apiGroup) || {_GROUPS}"),
        _rule(
            "kind must be VirtualMachine for kubevirt.io or VirtualMachineBackupTracker for backup.kubevirt.io",
            f"!has(self.apiGroup) || ({_GROUPS} && {_PAIRS})",
        ),
        _NAMED,
    ],
}
BACKUP_SPEC = {
    **object_of(
        {
            "forceFullBackup": BOOLEAN,
            "mode": {**STRING, "enum": ["Push", "Pull"]},
            "pvcName": STRING,
            "skipQuiesce": BOOLEAN,
            "source": _BACKUP_SOURCE,
            "tokenSecretRef": STRING,
            "ttlDuration": STRING,
        },
        ["source"],
    ),
    "x-kubernetes-validations": [
        _IMMUTABLE,
        _rule("pvcName is required", "has(self.pvcName) && self.pvcName.size() > 0"),
        _rule(
            "tokenSecretRef is required when mode is Pull",
            "!(has(self.mode) && self.mode == 'Pull') || (has(self.tokenSecretRef) && self.tokenSecretRef.size() > 0)",
        ),
    ],
}
_INCLUDED_VOLUMES = list_of(
    object_of(
        {"volumeName": STRING, "diskTarget": STRING, "dataEndpoint": STRING, "mapEndpoint": STRING}, ["volumeName"]
    )
)
_META_CONDITION = object_of(
    {
        "type": STRING,
        "status": {**STRING, "enum": ["True", "False", "Unknown"]},
        "reason": {**STRING, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
        "message": STRING,
        "lastTransitionTime": TIME,
        "observedGeneration": INTEGER,
    },
    ["type", "status", "reason", "message", "lastTransitionTime"],
)
BACKUP_STATUS = object_of(
    {
        "checkpointName": STRING,
        "conditions": _keyed(_META_CONDITION, "type"),
        "endpointCert": STRING,
        "exportUID": STRING,
        "includedVolumes": _INCLUDED_VOLUMES,
        "type": STRING,
    }
)
TRACKER_SPEC = {
    **object_of(
        {
            "source": {
                **REFERENCE,
                "x-kubernetes-validations": [
                    _rule("apiGroup must be kubevirt.io", "has(self.apiGroup) && self.apiGroup == 'kubevirt.io'"),
                    _rule("kind must be VirtualMachine", "self.kind == 'VirtualMachine'"),
                    _NAMED,
                ],
            }
        },
        ["source"],
    ),
    "x-kubernetes-validations": [_IMMUTABLE],
}
TRACKER_STATUS = object_of(
    {
        "checkpointRedefinitionRequired": BOOLEAN,
        "latestCheckpoint": object_of({"name": STRING, "creationTime": TIME, "volumes": _INCLUDED_VOLUMES}),
    }
)

_SELECTOR = object_of(
    {
        "matchLabels": WORDS,
        "matchExpressions": list_of(
            object_of({"key": STRING, "operator": STRING, "values": STRINGS}, ["key", "operator"])
        ),
    }
)
KUBEVIRT_SPEC = {
    **OPEN,
    "properties": {
        "configuration": {
            **OPEN,
            "properties": {
                "changedBlockTrackingLabelSelectors": object_of(
                    {"virtualMachineLabelSelector": _SELECTOR, "namespaceLabelSelector": _SELECTOR}
                ),
                "developerConfiguration": {
                    **OPEN,
                    "properties": {"featureGates": STRINGS, "disabledFeatureGates": STRINGS},
                },
            },
        }
    },
}
