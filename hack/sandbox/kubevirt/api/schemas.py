"""Schemas of KubeVirt's kinds, the sandbox's own: strict where a backup looks, open where only a hypervisor would."""

from __future__ import annotations

from sandbox.cluster.client import Object

STRING: Object = {"type": "string"}
_BOOLEAN: Object = {"type": "boolean"}
_INTEGER: Object = {"type": "integer", "format": "int64"}
_TIME: Object = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Object = {**_TIME, "nullable": True}
_OPEN: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_STRINGS: Object = {"type": "array", "items": STRING}
_WORDS: Object = {"type": "object", "additionalProperties": STRING}


def object_of(properties: Object, required: list[str] | None = None) -> Object:
    """An object schema."""
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def list_of(items: Object) -> Object:
    """A list schema."""
    return {"type": "array", "items": items}


_CONDITIONS = list_of(
    object_of(
        {
            "type": STRING,
            "status": STRING,
            "reason": STRING,
            "message": STRING,
            "lastProbeTime": _TIME_OR_NULL,
            "lastTransitionTime": _TIME_OR_NULL,
        },
        ["type", "status"],
    )
)
_ERROR = object_of({"message": STRING, "time": _TIME})
_REFERENCE = object_of({"apiGroup": STRING, "kind": STRING, "name": STRING}, ["kind", "name"])
_VOLUMES = list_of(
    {
        **_OPEN,
        "properties": {
            "name": STRING,
            "persistentVolumeClaim": {**_OPEN, "properties": {"claimName": STRING}, "required": ["claimName"]},
            "dataVolume": {**_OPEN, "properties": {"name": STRING}, "required": ["name"]},
        },
        "required": ["name"],
    }
)
_DOMAIN = {
    **_OPEN,
    "properties": {
        "cpu": {**_OPEN, "properties": {"cores": {"type": "integer", "minimum": 1}}},
        "memory": {
            **_OPEN,
            "properties": {"guest": {"anyOf": [{"type": "integer"}, STRING], "x-kubernetes-int-or-string": True}},
        },
        "firmware": {**_OPEN, "properties": {"uuid": STRING, "serial": STRING}},
        "machine": {**_OPEN, "properties": {"type": STRING}},
        "devices": {
            **_OPEN,
            "properties": {"disks": list_of({**_OPEN, "properties": {"name": STRING}, "required": ["name"]})},
        },
    },
}
INSTANCE_SPEC = {
    **_OPEN,
    "properties": {
        "architecture": STRING,
        "domain": _DOMAIN,
        "terminationGracePeriodSeconds": _INTEGER,
        "volumes": _VOLUMES,
    },
    "required": ["domain"],
}
MACHINE_SPEC = object_of(
    {
        "running": _BOOLEAN,
        "runStrategy": STRING,
        "dataVolumeTemplates": list_of(_OPEN),
        "instancetype": _OPEN,
        "preference": _OPEN,
        "template": object_of({"metadata": _OPEN, "spec": INSTANCE_SPEC}),
    },
    ["template"],
)
MACHINE_STATUS = object_of(
    {
        "conditions": _CONDITIONS,
        "created": _BOOLEAN,
        "ready": _BOOLEAN,
        "desiredGeneration": _INTEGER,
        "observedGeneration": _INTEGER,
        "printableStatus": STRING,
        "restoreInProgress": STRING,
        "runStrategy": STRING,
        "snapshotInProgress": STRING,
        "startFailure": object_of(
            {"consecutiveFailCount": _INTEGER, "lastFailedVMIUID": STRING, "retryAfterTimestamp": _TIME}
        ),
        "stateChangeRequests": list_of(object_of({"action": STRING, "uid": STRING, "data": _WORDS}, ["action"])),
        "volumeSnapshotStatuses": list_of(
            object_of({"name": STRING, "enabled": _BOOLEAN, "reason": STRING}, ["name", "enabled"])
        ),
    }
)
INSTANCE_STATUS = {
    **_OPEN,
    "properties": {
        "conditions": _CONDITIONS,
        "fsFreezeStatus": STRING,
        "guestOSInfo": _WORDS,
        "nodeName": STRING,
        "phase": STRING,
        "virtualMachineRevisionName": STRING,
    },
}
SNAPSHOT_SPEC = object_of(
    {"source": _REFERENCE, "deletionPolicy": STRING, "failureDeadline": STRING},
    ["source"],
)
SNAPSHOT_STATUS = object_of(
    {
        "conditions": _CONDITIONS,
        "creationTime": _TIME_OR_NULL,
        "error": _ERROR,
        "indications": {**_STRINGS, "x-kubernetes-list-type": "set"},
        "phase": STRING,
        "readyToUse": _BOOLEAN,
        "snapshotVolumes": object_of({"includedVolumes": _STRINGS, "excludedVolumes": _STRINGS}),
        "sourceIndications": list_of(object_of({"indication": STRING, "message": STRING}, ["indication", "message"])),
        "sourceUID": STRING,
        "virtualMachineSnapshotContentName": STRING,
    }
)
CONTENT_SPEC = object_of(
    {
        "source": object_of(
            {"virtualMachine": object_of({"metadata": _OPEN, "spec": MACHINE_SPEC, "status": MACHINE_STATUS})}
        ),
        "virtualMachineSnapshotName": STRING,
        "volumeBackups": list_of(
            object_of(
                {
                    "volumeName": STRING,
                    "volumeSnapshotName": STRING,
                    "persistentVolumeClaim": object_of({"metadata": _OPEN, "spec": _OPEN}),
                },
                ["volumeName", "persistentVolumeClaim"],
            )
        ),
    },
    ["source"],
)
CONTENT_STATUS = object_of(
    {
        "creationTime": _TIME_OR_NULL,
        "error": _ERROR,
        "readyToUse": _BOOLEAN,
        "volumeSnapshotStatus": list_of(
            object_of(
                {
                    "volumeSnapshotName": STRING,
                    "creationTime": _TIME_OR_NULL,
                    "readyToUse": _BOOLEAN,
                    "error": _ERROR,
                },
                ["volumeSnapshotName"],
            )
        ),
    }
)
RESTORE_SPEC = object_of(
    {
        "target": _REFERENCE,
        "virtualMachineSnapshotName": STRING,
        "targetReadinessPolicy": {
            **STRING,
            "default": "WaitGracePeriod",
            "enum": ["StopTarget", "WaitGracePeriod", "FailImmediate", "WaitEventually"],
        },
        "volumeRestorePolicy": STRING,
        "volumeOwnershipPolicy": STRING,
        "volumeRestoreOverrides": list_of(
            object_of({"volumeName": STRING, "restoreName": STRING, "labels": _WORDS, "annotations": _WORDS})
        ),
        "patches": _STRINGS,
    },
    ["target", "virtualMachineSnapshotName"],
)
RESTORE_STATUS = object_of(
    {
        "complete": _BOOLEAN,
        "conditions": _CONDITIONS,
        "restoreTime": _TIME,
        "restores": list_of(
            object_of(
                {"volumeName": STRING, "persistentVolumeClaim": STRING, "volumeSnapshotName": STRING},
                ["volumeName", "persistentVolumeClaim", "volumeSnapshotName"],
            )
        ),
    }
)
