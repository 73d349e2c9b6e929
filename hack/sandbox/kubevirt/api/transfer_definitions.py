"""The kinds that hand out data, and KubeVirt's own configuration, as CustomResourceDefinitions."""

from __future__ import annotations

from sandbox.cluster.client import Objects
from sandbox.cluster.definitions import columns
from sandbox.cluster.kinds import KUBEVIRT, VM_BACKUP, VM_BACKUP_TRACKER, VM_EXPORT
from sandbox.kubevirt.api.crd import AGE, definition
from sandbox.kubevirt.api.schemas import OPEN
from sandbox.kubevirt.api.transfer_schemas import (
    BACKUP_SPEC,
    BACKUP_STATUS,
    EXPORT_SPEC,
    EXPORT_STATUS,
    KUBEVIRT_SPEC,
    TRACKER_SPEC,
    TRACKER_STATUS,
)

_SOURCE = (("SourceKind", "string", ".spec.source.kind"), ("SourceName", "string", ".spec.source.name"))

TRANSFER_DEFINITIONS: Objects = [
    definition(
        VM_EXPORT,
        ["vmexport", "vmexports"],
        EXPORT_SPEC,
        EXPORT_STATUS,
        columns(*_SOURCE, ("Phase", "string", ".status.phase")),
        older="v1beta1",
    ),
    definition(
        VM_BACKUP,
        ["vmbackup", "vmbackups"],
        BACKUP_SPEC,
        BACKUP_STATUS,
        columns(
            *_SOURCE,
            ("Type", "string", ".status.type"),
            ("CheckpointName", "string", ".status.checkpointName"),
        ),
    ),
    definition(
        VM_BACKUP_TRACKER,
        ["vmbackuptracker", "vmbackuptrackers"],
        TRACKER_SPEC,
        TRACKER_STATUS,
        columns(
            *_SOURCE,
            ("LatestCheckpoint", "string", ".status.latestCheckpoint.name"),
            ("CheckpointTime", "date", ".status.latestCheckpoint.creationTime"),
        ),
    ),
    definition(KUBEVIRT, ["kv", "kvs"], KUBEVIRT_SPEC, OPEN, columns(AGE, ("Phase", "string", ".status.phase"))),
]
