"""KubeVirt's kinds as CustomResourceDefinitions."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.kinds import (
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_RESTORE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.kubevirt.api.schemas import (
    CONTENT_SPEC,
    CONTENT_STATUS,
    INSTANCE_SPEC,
    INSTANCE_STATUS,
    MACHINE_SPEC,
    MACHINE_STATUS,
    RESTORE_SPEC,
    RESTORE_STATUS,
    SNAPSHOT_SPEC,
    SNAPSHOT_STATUS,
    STRING,
    object_of,
)


def _columns(*columns: tuple[str, str, str]) -> Objects:
    return [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in columns]


_AGE = ("Age", "date", ".metadata.creationTimestamp")
_READY = ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status")
_ERROR_COLUMN = ("Error", "string", ".status.error.message")


def _definition(
    kind: Kind, short_names: list[str], spec: Object, status: Object, columns: Objects, *, subresource: bool = True
) -> Object:
    schema = object_of({"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}}, ["spec"])
    schema["properties"] |= {"spec": spec, "status": status}
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    if subresource:
        version["subresources"] = {"status": {}}
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": short_names,
                "categories": ["all"],
            },
            "versions": [version],
        },
    }


DEFINITIONS: Objects = [
    _definition(
        VIRTUAL_MACHINE,
        ["vm", "vms"],
        MACHINE_SPEC,
        MACHINE_STATUS,
        _columns(_AGE, ("Status", "string", ".status.printableStatus"), _READY),
    ),
    _definition(
        VIRTUAL_MACHINE_INSTANCE,
        ["vmi", "vmis"],
        INSTANCE_SPEC,
        INSTANCE_STATUS,
        _columns(_AGE, ("Phase", "string", ".status.phase"), ("NodeName", "string", ".status.nodeName"), _READY),
        subresource=False,
    ),
    _definition(
        VM_SNAPSHOT,
        ["vmsnapshot", "vmsnapshots"],
        SNAPSHOT_SPEC,
        SNAPSHOT_STATUS,
        _columns(
            ("SourceKind", "string", ".spec.source.kind"),
            ("SourceName", "string", ".spec.source.name"),
            ("Phase", "string", ".status.phase"),
            ("ReadyToUse", "boolean", ".status.readyToUse"),
            ("CreationTime", "date", ".status.creationTime"),
            _ERROR_COLUMN,
        ),
    ),
    _definition(
        VM_SNAPSHOT_CONTENT,
        ["vmsnapshotcontent", "vmsnapshotcontents"],
        CONTENT_SPEC,
        CONTENT_STATUS,
        _columns(
            ("ReadyToUse", "boolean", ".status.readyToUse"),
            ("CreationTime", "date", ".status.creationTime"),
            _ERROR_COLUMN,
        ),
    ),
    _definition(
        VM_RESTORE,
        ["vmrestore", "vmrestores"],
        RESTORE_SPEC,
        RESTORE_STATUS,
        _columns(
            ("TargetKind", "string", ".spec.target.kind"),
            ("TargetName", "string", ".spec.target.name"),
            ("Complete", "boolean", ".status.complete"),
            ("RestoreTime", "date", ".status.restoreTime"),
        ),
    ),
]
