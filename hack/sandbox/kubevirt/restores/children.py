"""The claims and the VM that a restore makes."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import controller_reference
from sandbox.cluster.quantity import format_bytes, parse_quantity
from sandbox.kubevirt.instancetypes.copies import with_copied_revisions
from sandbox.kubevirt.names import (
    LAST_RESTORE_UID,
    OBSERVED_VERSIONS,
    RESTORE_NAME,
    RESTORE_SOURCE_NAME,
    RESTORE_SOURCE_NAMESPACE,
)
from sandbox.kubevirt.restores.observed import Observed

_GROUP = "snapshot.storage.k8s.io"


def restores_of(observed: Observed) -> Objects:
    """status.restores for every volume that still stands in the captured VM; memory dumps are not restored."""
    assert observed.content is not None
    captured = {volume["name"]: volume for volume in _volumes(_captured_spec(observed))}
    return [
        {
            "volumeName": backup["volumeName"],
            "persistentVolumeClaim": _restored_name(observed, backup),
            "volumeSnapshotName": backup["volumeSnapshotName"],
        }
        for backup in observed.content["spec"]["volumeBackups"]
        if "memoryDump" not in captured.get(backup["volumeName"], {})
    ]


def claims_of(observed: Observed) -> Objects:
    """The claims that do not exist yet, filled from their VolumeSnapshots."""
    assert observed.content is not None
    backups = {backup["volumeName"]: backup for backup in observed.content["spec"]["volumeBackups"]}
    return [
        _claim(observed, entry, backups[entry["volumeName"]])
        for entry in observed.restores
        if entry["persistentVolumeClaim"] not in observed.claims
    ]


def new_target(observed: Observed) -> Object:
    """The VM of a target that does not exist: halted, as captured, with the restore's patches."""
    assert observed.content is not None
    captured = observed.content["spec"]["source"]["virtualMachine"]
    vm: Object = {
        "metadata": {
            "name": observed.target_name,
            "namespace": observed.namespace,
            "labels": captured["metadata"].get("labels") or {},
            "annotations": _kept_annotations(captured) | {LAST_RESTORE_UID: observed.mark},
        },
        "spec": _with_claims(_captured_spec(observed), observed.restores),
    }
    vm["spec"].pop("running", None)
    vm["spec"]["runStrategy"] = "Halted"
    operations = [json.loads(patch) for patch in observed.restore["spec"].get("patches") or []]
    patched: Object = jsonpatch.apply_patch(vm, operations)
    return patched


def updated_target(observed: Observed) -> Object:
    """The existing target with the captured spec and the restored claims; its own run strategy stays."""
    assert observed.target is not None
    vm = copy.deepcopy(observed.target)
    vm["metadata"].setdefault("annotations", {})[LAST_RESTORE_UID] = observed.mark
    spec = _with_claims(_captured_spec(observed), observed.restores)
    for field in ("running", "runStrategy"):
        spec.pop(field, None)
        if field in observed.target["spec"]:
            spec[field] = observed.target["spec"][field]
    vm["spec"] = spec
    return vm


def _restored_name(observed: Observed, backup: Object) -> str:
    spec = observed.restore["spec"]
    for override in spec.get("volumeRestoreOverrides") or []:
        if override.get("volumeName") == backup["volumeName"] and override.get("restoreName"):
            return str(override["restoreName"])
    policy = spec.get("volumeRestorePolicy") or "RandomizeNames"
    if policy == "InPlace":
        return str(backup["persistentVolumeClaim"]["metadata"]["name"])
    if policy == "PrefixTargetName":
        return f"{observed.target_name}-{backup['volumeName']}"
    return f"restore-{observed.uid}-{backup['volumeName']}"


def _claim(observed: Observed, entry: Object, backup: Object) -> Object:
    assert observed.content is not None
    source = observed.content["spec"]["source"]["virtualMachine"]["metadata"]
    captured = backup["persistentVolumeClaim"]["spec"]
    snapshot = {"apiGroup": _GROUP, "kind": "VolumeSnapshot", "name": entry["volumeSnapshotName"]}
    labels, annotations = _overrides(observed, entry["volumeName"])
    metadata: Object = {
        "name": entry["persistentVolumeClaim"],
        "namespace": observed.namespace,
        "labels": labels | {RESTORE_SOURCE_NAME: source["name"], RESTORE_SOURCE_NAMESPACE: source["namespace"]},
        "annotations": annotations | {RESTORE_NAME: observed.name, LAST_RESTORE_UID: observed.mark},
    }
    if observed.target is not None and observed.restore["spec"].get("volumeOwnershipPolicy") != "None":
        metadata["ownerReferences"] = [controller_reference(observed.target)]
    spec: dict[str, Any] = {
        field: captured[field] for field in ("accessModes", "storageClassName", "volumeMode") if field in captured
    }
    requested = captured["resources"]["requests"]["storage"]
    sizes = [requested, observed.restore_sizes.get(entry["volumeSnapshotName"], requested)]
    spec["resources"] = {"requests": {"storage": format_bytes(max(map(parse_quantity, sizes)))}}
    return {"metadata": metadata, "spec": spec | {"dataSource": snapshot, "dataSourceRef": snapshot}}


def _overrides(observed: Observed, volume: str) -> tuple[dict[str, str], dict[str, str]]:
    for override in observed.restore["spec"].get("volumeRestoreOverrides") or []:
        if override.get("volumeName") == volume:
            return dict(override.get("labels") or {}), dict(override.get("annotations") or {})
    return {}, {}


def _with_claims(spec: Object, restores: Objects) -> Object:
    claims = {entry["volumeName"]: entry["persistentVolumeClaim"] for entry in restores}
    for volume in _volumes(spec):
        if volume["name"] in claims:
            volume.pop("dataVolume", None)
            volume["persistentVolumeClaim"] = {"claimName": claims[volume["name"]]}
    return spec


def _captured_spec(observed: Observed) -> Object:
    assert observed.content is not None
    spec = observed.content["spec"]["source"]["virtualMachine"]["spec"]
    snapshot = observed.restore["spec"]["virtualMachineSnapshotName"]
    return with_copied_revisions(spec, snapshot, observed.target_name)


def _volumes(spec: Object) -> Objects:
    return list(spec.get("template", {}).get("spec", {}).get("volumes") or [])


def _kept_annotations(captured: Object) -> dict[str, str]:
    """Without those of `kubectl apply` and of the instance of another API version."""
    annotations = captured["metadata"].get("annotations") or {}
    dropped = {"kubectl.kubernetes.io/last-applied-configuration", *OBSERVED_VERSIONS}
    return {key: value for key, value in annotations.items() if key not in dropped}
