"""KubeVirt's kinds as CustomResourceDefinitions."""

from __future__ import annotations

from sandbox.cluster.client import Objects
from sandbox.cluster.definitions import columns
from sandbox.cluster.kinds import (
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_MIGRATION,
    VM_RESTORE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
)
from sandbox.kubevirt.api.crd import AGE, definition
from sandbox.kubevirt.api.instancetype_definitions import INSTANCETYPE_DEFINITIONS
from sandbox.kubevirt.api.schemas import (
    CONTENT_SPEC,
    CONTENT_STATUS,
    INSTANCE_SPEC,
    INSTANCE_STATUS,
    MACHINE_SPEC,
    MACHINE_STATUS,
    MIGRATION_SPEC,
    MIGRATION_STATUS,
    RESTORE_SPEC,
    RESTORE_STATUS,
    SNAPSHOT_SPEC,
    SNAPSHOT_STATUS,
)
from sandbox.kubevirt.api.transfer_definitions import TRANSFER_DEFINITIONS

_READY = ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status")
_ERROR_COLUMN = ("Error", "string", ".status.error.message")


DEFINITIONS: Objects = [
    definition(
        VIRTUAL_MACHINE,
        ["vm", "vms"],
        MACHINE_SPEC,
        MACHINE_STATUS,
        columns(AGE, ("Status", "string", ".status.printableStatus"), _READY),
    ),
    definition(
        VIRTUAL_MACHINE_INSTANCE,
        ["vmi", "vmis"],
        INSTANCE_SPEC,
        INSTANCE_STATUS,
        columns(AGE, ("Phase", "string", ".status.phase"), ("NodeName", "string", ".status.nodeName"), _READY),
        subresource=False,
    ),
    definition(
        VM_MIGRATION,
        ["vmim", "vmims"],
        MIGRATION_SPEC,
        MIGRATION_STATUS,
        columns(("Phase", "string", ".status.phase"), ("VMI", "string", ".spec.vmiName"), AGE),
    ),
    definition(
        VM_SNAPSHOT,
        ["vmsnapshot", "vmsnapshots"],
        SNAPSHOT_SPEC,
        SNAPSHOT_STATUS,
        columns(
            ("SourceKind", "string", ".spec.source.kind"),
            ("SourceName", "string", ".spec.source.name"),
            ("Phase", "string", ".status.phase"),
            ("ReadyToUse", "boolean", ".status.readyToUse"),
            ("CreationTime", "date", ".status.creationTime"),
            _ERROR_COLUMN,
        ),
    ),
    definition(
        VM_SNAPSHOT_CONTENT,
        ["vmsnapshotcontent", "vmsnapshotcontents"],
        CONTENT_SPEC,
        CONTENT_STATUS,
        columns(
            ("ReadyToUse", "boolean", ".status.readyToUse"),
            ("CreationTime", "date", ".status.creationTime"),
            _ERROR_COLUMN,
        ),
    ),
    definition(
        VM_RESTORE,
        ["vmrestore", "vmrestores"],
        RESTORE_SPEC,
        RESTORE_STATUS,
        columns(
            ("TargetKind", "string", ".spec.target.kind"),
            ("TargetName", "string", ".spec.target.name"),
            ("Complete", "boolean", ".status.complete"),
            ("RestoreTime", "date", ".status.restoreTime"),
        ),
    ),
    *TRANSFER_DEFINITIONS,
    *INSTANCETYPE_DEFINITIONS,
]
