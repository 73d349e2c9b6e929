"""What KubeVirt's webhooks refuse, in their words.

The refusal of DataVolumes, which the sandbox has not, is its own, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.durations import parse_duration
from sandbox.kubevirt.instancetypes.expansion import conflict
from sandbox.kubevirt.machines.lifecycle import run_strategy

RUN_STRATEGIES = ("Always", "Halted", "Manual", "RerunOnFailure")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an object is not admitted. Without a field it is a plain error, as of a value that cannot be decoded."""

    message: str
    field: str | None = None


def check_machine(vm: Object, old: Object | None, matched: Mapping[str, Object | None]) -> Refusal | None:
    """A VirtualMachine that is created, or changed (`old`).

    `matched` is what it names in `instancetype` and `preference` (their fields), None for what does not exist.
    """
    spec = vm["spec"]
    if "running" in spec and "runStrategy" in spec:
        both = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy"
        return Refusal(f"{both} instead", "spec.running")
    if "running" not in spec and "runStrategy" not in spec:
        return Refusal("One of Running or RunStrategy must be specified", "spec.running")
    if run_strategy(vm) not in RUN_STRATEGIES:
        return Refusal(f"Invalid RunStrategy ({spec['runStrategy']})", "spec.runStrategy")
    if spec.get("dataVolumeTemplates"):
        what = "CDI, hence no DataVolumes: name claims in spec.template.spec.volumes"
        return Refusal(f"the sandbox has no {what}", "spec.dataVolumeTemplates")
    if spec != (old or {}).get("spec") and (refusal := _check_matchers(vm, matched)):
        return refusal
    return _check_machine_in_use(vm, old) if old else None


def _check_matchers(vm: Object, matched: Mapping[str, Object | None]) -> Refusal | None:
    for field, found in matched.items():
        if found is None:
            return Refusal(f"Failure to find {field}: {vm['spec'][field].get('name')} not found", f"spec.{field}")
    instancetype = matched.get("instancetype")
    twice = conflict(vm, instancetype) if instancetype else None
    return Refusal(f"VM field(s) {twice} conflicts with selected instance type", twice) if twice else None


def _check_machine_in_use(vm: Object, old: Object) -> Refusal | None:
    status = old.get("status") or {}
    if run_strategy(vm) == run_strategy(old):
        return None
    if status.get("snapshotInProgress"):
        name = status["snapshotInProgress"]
        return Refusal(f'Cannot update vm running state until snapshot "{name}" completes', "spec")
    if status.get("restoreInProgress") and run_strategy(vm) != "Halted":
        return Refusal(f'Cannot start VM until restore "{status["restoreInProgress"]}" completes', "spec.runStrategy")
    return None


def check_snapshot(snapshot: Object, old: Object | None) -> Refusal | None:
    """A VirtualMachineSnapshot."""
    deadline = snapshot["spec"].get("failureDeadline")
    if deadline is not None:
        try:
            parse_duration(deadline)
        except ValueError as error:
            return Refusal(str(error))
    if old:
        return _immutable(snapshot, old)
    return _check_reference(snapshot["spec"]["source"], "spec.source")


def check_restore(restore: Object, old: Object | None, others: Objects) -> Refusal | None:
    """A VirtualMachineRestore; `others` are the restores of its namespace. The snapshot need not exist."""
    if old:
        return _immutable(restore, old)
    spec = restore["spec"]
    refusal = _check_reference(spec["target"], "spec.target")
    if refusal:
        return refusal
    for field, known in (
        ("volumeRestorePolicy", ("RandomizeNames", "InPlace", "PrefixTargetName")),
        ("volumeOwnershipPolicy", ("Vm", "None")),
    ):
        if field in spec and spec[field] not in known:
            return Refusal(f'invalid {field} "{spec[field]}": choose one of {", ".join(known)}', f"spec.{field}")
    for other in others:
        open_still = not (other.get("status") or {}).get("complete")
        if open_still and other["spec"]["target"]["name"] == spec["target"]["name"]:
            return Refusal(f'VirtualMachineRestore "{other["metadata"]["name"]}" in progress', "spec.target")
    return next(filter(None, map(_check_patch, spec.get("patches") or [])), None)


def _check_reference(reference: Object, field: str) -> Refusal | None:
    if not reference.get("apiGroup"):
        return Refusal("missing apiGroup", f"{field}.apiGroup")
    if reference["apiGroup"] != "kubevirt.io":
        return Refusal("invalid apiGroup", f"{field}.apiGroup")
    return None if reference["kind"] == "VirtualMachine" else Refusal("invalid kind", f"{field}.kind")


def _immutable(changed: Object, old: Object) -> Refusal | None:
    return None if changed["spec"] == old["spec"] else Refusal("spec in immutable after creation", "spec")


def _check_patch(text: str) -> Refusal | None:
    """Only below /spec/ and the labels and annotations. The real check splits the text; the words were not recorded."""
    try:
        path = json.loads(text)["path"]
    except (ValueError, TypeError, KeyError):
        return Refusal(f"the patch {text!r} is not a JSON patch operation", "spec.patches")
    if str(path).startswith(("/spec/", "/metadata/labels/", "/metadata/annotations/")):
        return None
    return Refusal(f"patching is only allowed for /spec/ and /metadata/, not {path}", "spec.patches")


def review_response(uid: str, refusal: Refusal | None) -> Object:
    """The AdmissionReview that answers a request."""
    response: Object = {"uid": uid, "allowed": refusal is None}
    if refusal and refusal.field:
        cause = {"reason": "FieldValueInvalid", "message": refusal.message, "field": refusal.field}
        details = {"causes": [cause]}
        response["status"] = {"message": refusal.message, "reason": "Invalid", "code": 422, "details": details}
    elif refusal:
        response["status"] = {"message": refusal.message, "code": 400}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
