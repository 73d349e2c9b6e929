"""Schemas of KubeVirt's kinds, the sandbox's own: strict where a backup looks, open where only a hypervisor would."""

from __future__ import annotations

from sandbox.cluster.client import Object
from sandbox.cluster.definitions import BOOLEAN, INTEGER, STRING, TIME, list_of, object_of

TIME_OR_NULL: Object = {**TIME, "nullable": True}
OPEN: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRINGS: Object = {"type": "array", "items": STRING}
WORDS: Object = {"type": "object", "additionalProperties": STRING}


CONDITIONS = list_of(
    object_of(
        {
            "type": STRING,
            "status": STRING,
            "reason": STRING,
            "message": STRING,
            "lastProbeTime": TIME_OR_NULL,
            "lastTransitionTime": TIME_OR_NULL,
        },
        ["type", "status"],
    )
)
_ERROR = object_of({"message": STRING, "time": TIME})
REFERENCE = object_of({"apiGroup": STRING, "kind": STRING, "name": STRING}, ["kind", "name"])
_VOLUMES = list_of(
    {
        **OPEN,
        "properties": {
            "name": STRING,
            "persistentVolumeClaim": {**OPEN, "properties": {"claimName": STRING}, "required": ["claimName"]},
            "dataVolume": {**OPEN, "properties": {"name": STRING}, "required": ["name"]},
            "memoryDump": {**OPEN, "properties": {"claimName": STRING}, "required": ["claimName"]},
        },
        "required": ["name"],
    }
)
_DOMAIN = {
    **OPEN,
    "properties": {
        "cpu": {**OPEN, "properties": {"cores": {"type": "integer", "minimum": 1}}},
        "memory": {
            **OPEN,
            "properties": {"guest": {"anyOf": [{"type": "integer"}, STRING], "x-kubernetes-int-or-string": True}},
        },
        "firmware": {**OPEN, "properties": {"uuid": STRING, "serial": STRING}},
        "machine": {**OPEN, "properties": {"type": STRING}},
        "devices": {
            **OPEN,
            "properties": {"disks": list_of({**OPEN, "properties": {"name": STRING}, "required": ["name"]})},
        },
    },
}
INSTANCE_SPEC = {
    **OPEN,
    "properties": {
        "architecture": STRING,
        "utilityVolumes": list_of(
            object_of({"name": STRING, "claimName": STRING, "type": STRING}, ["name", "claimName"])
        ),
        "domain": _DOMAIN,
        "terminationGracePeriodSeconds": INTEGER,
        "volumes": _VOLUMES,
    },
    "required": ["domain"],
}
_MATCHER = object_of({"name": STRING, "kind": STRING, "revisionName": STRING})
_MATCHED = object_of({"name": STRING, "kind": STRING, "controllerRevisionRef": object_of({"name": STRING})})
MACHINE_SPEC = object_of(
    {
        "running": BOOLEAN,
        "runStrategy": STRING,
        "dataVolumeTemplates": list_of(OPEN),
        "instancetype": _MATCHER,
        "preference": _MATCHER,
        "template": object_of({"metadata": OPEN, "spec": INSTANCE_SPEC}),
    },
    ["template"],
)
MACHINE_STATUS = object_of(
    {
        "changedBlockTracking": object_of({"state": STRING}, ["state"]),
        "conditions": CONDITIONS,
        "created": BOOLEAN,
        "ready": BOOLEAN,
        "desiredGeneration": INTEGER,
        "memoryDumpRequest": {
            **object_of(
                {
                    "claimName": STRING,
                    "endTimestamp": TIME,
                    "fileName": STRING,
                    "message": STRING,
                    "phase": STRING,
                    "remove": BOOLEAN,
                    "startTimestamp": TIME,
                },
                ["claimName", "phase"],
            ),
            "nullable": True,
        },
        "instancetypeRef": _MATCHED,
        "observedGeneration": INTEGER,
        "preferenceRef": _MATCHED,
        "printableStatus": STRING,
        "restoreInProgress": STRING,
        "runStrategy": STRING,
        "snapshotInProgress": STRING,
        "startFailure": object_of(
            {"consecutiveFailCount": INTEGER, "lastFailedVMIUID": STRING, "retryAfterTimestamp": TIME}
        ),
        "stateChangeRequests": list_of(object_of({"action": STRING, "uid": STRING, "data": WORDS}, ["action"])),
        "volumeSnapshotStatuses": list_of(
            object_of({"name": STRING, "enabled": BOOLEAN, "reason": STRING}, ["name", "enabled"])
        ),
    }
)
INSTANCE_STATUS = {
    **OPEN,
    "properties": {
        "changedBlockTracking": object_of({"state": STRING, "backupStatus": OPEN}, ["state"]),
        "conditions": CONDITIONS,
        "fsFreezeStatus": STRING,
        "guestOSInfo": WORDS,
        "nodeName": STRING,
        "phase": STRING,
        "virtualMachineRevisionName": STRING,
    },
}
MIGRATION_SPEC = object_of({"vmiName": STRING}, ["vmiName"])
MIGRATION_STATUS = object_of({"phase": STRING})
SNAPSHOT_SPEC = object_of(
    {"source": REFERENCE, "deletionPolicy": STRING, "failureDeadline": STRING},
    ["source"],
)
SNAPSHOT_STATUS = object_of(
    {
        "conditions": CONDITIONS,
        "creationTime": TIME_OR_NULL,
        "error": _ERROR,
        "indications": {**STRINGS, "x-kubernetes-list-type": "set"},
        "phase": STRING,
        "readyToUse": BOOLEAN,
        "snapshotVolumes": object_of({"includedVolumes": STRINGS, "excludedVolumes": STRINGS}),
        "sourceIndications": list_of(object_of({"indication": STRING, "message": STRING}, ["indication", "message"])),
        "sourceUID": STRING,
        "virtualMachineSnapshotContentName": STRING,
    }
)
CONTENT_SPEC = object_of(
    {
        "source": object_of(
            {"virtualMachine": object_of({"metadata": OPEN, "spec": MACHINE_SPEC, "status": MACHINE_STATUS})}
        ),
        "virtualMachineSnapshotName": STRING,
        "volumeBackups": list_of(
            object_of(
                {
                    "volumeName": STRING,
                    "volumeSnapshotName": STRING,
                    "persistentVolumeClaim": object_of({"metadata": OPEN, "spec": OPEN}),
                },
                ["volumeName", "persistentVolumeClaim"],
            )
        ),
    },
    ["source"],
)
CONTENT_STATUS = object_of(
    {
        "creationTime": TIME_OR_NULL,
        "error": _ERROR,
        "readyToUse": BOOLEAN,
        "volumeSnapshotStatus": list_of(
            object_of(
                {
                    "volumeSnapshotName": STRING,
                    "creationTime": TIME_OR_NULL,
                    "readyToUse": BOOLEAN,
                    "error": _ERROR,
                },
                ["volumeSnapshotName"],
            )
        ),
    }
)
RESTORE_SPEC = object_of(
    {
        "target": REFERENCE,
        "virtualMachineSnapshotName": STRING,
        "targetReadinessPolicy": {
            **STRING,
            "default": "WaitGracePeriod",
            "enum": ["StopTarget", "WaitGracePeriod", "FailImmediate", "WaitEventually"],
        },
        "volumeRestorePolicy": STRING,
        "volumeOwnershipPolicy": STRING,
        "volumeRestoreOverrides": list_of(
            object_of({"volumeName": STRING, "restoreName": STRING, "labels": WORDS, "annotations": WORDS})
        ),
        "patches": STRINGS,
    },
    ["target", "virtualMachineSnapshotName"],
)
RESTORE_STATUS = object_of(
    {
        "complete": BOOLEAN,
        "conditions": CONDITIONS,
        "restoreTime": TIME,
        "restores": list_of(
            object_of(
                {"volumeName": STRING, "persistentVolumeClaim": STRING, "volumeSnapshotName": STRING},
                ["volumeName", "persistentVolumeClaim", "volumeSnapshotName"],
            )
        ),
    }
)
