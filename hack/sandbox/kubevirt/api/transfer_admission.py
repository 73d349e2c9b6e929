"""What KubeVirt's webhooks refuse of exports, backups and trackers.

Recorded: a second backup of the same source. Not recorded, and after the documentation: the gate, the export's kinds.
"""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.api.admission import Refusal
from sandbox.kubevirt.conditions import is_true
from sandbox.kubevirt.configuration import INCREMENTAL_BACKUP, UTILITY_VOLUMES, Configuration
from sandbox.kubevirt.durations import parse_duration

_EXPORTED = {
    "PersistentVolumeClaim": "",
    "VirtualMachine": "kubevirt.io",
    "VirtualMachineSnapshot": "snapshot.kubevirt.io",
    "VirtualMachineBackup": "backup.kubevirt.io",
}


def check_export(export: Object, old: Object | None) -> Refusal | None:
    """A VirtualMachineExport. Its source need not exist."""
    if old:
        return None if export["spec"] == old["spec"] else Refusal("spec in immutable after creation", "spec")
    source = export["spec"]["source"]
    if source["kind"] not in _EXPORTED:
        return Refusal("invalid kind", "spec.source.kind")
    if (source.get("apiGroup") or "") != _EXPORTED[source["kind"]]:
        return Refusal("invalid apiGroup", "spec.source.apiGroup")
    return _check_duration(export)


def check_backup(backup: Object, old: Object | None, others: Objects, configuration: Configuration) -> Refusal | None:
    """A backup or a tracker; `others` are the backups of its namespace. What cannot change is the schema's to say."""
    if old:
        return None
    for gate in (INCREMENTAL_BACKUP, UTILITY_VOLUMES):
        if gate not in configuration.gates:
            return Refusal(f"{gate} feature gate not enabled", "spec")
    for other in others:
        done = is_true(other, "Complete") or is_true(other, "Failed")
        if not done and other["spec"]["source"] == backup["spec"]["source"]:
            name = other["metadata"]["name"]
            return Refusal(f'VirtualMachineBackup "{name}" in progress for source', "spec.source")
    return _check_duration(backup)


def _check_duration(obj: Object) -> Refusal | None:
    text = obj["spec"].get("ttlDuration")
    try:
        parse_duration(text or "0")
    except ValueError as error:
        return Refusal(str(error))
    return None
