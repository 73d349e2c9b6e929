"""JSON patches (RFC 6902) on the objects of a new VM, and what they must leave alone.

A message names the patch and what is wrong with it, never a value: a patched Secret would show in the status.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from safehold.api.restore_options import PatchTarget, RestorePatch
from safehold.plan.names import RESTORED_BY
from safehold.plan.refusal import Refusal
from safehold.plan.tenancy import refuse_object
from safehold.reasons import Reason

Manifest = dict[str, Any]

MAX_OPERATIONS = 64
MAX_OBJECT_BYTES = 512 * 1024
"""Of a patched object: copies of copies would grow without an end. The API server takes little more."""
_METADATA = frozenset({"name", "namespace", "labels", "annotations"})


def patch_objects(objects: Sequence[Manifest], patches: Sequence[RestorePatch]) -> list[Manifest] | Refusal:
    """The objects with the patches applied in their order; refused where one fails, fits no object, or goes too far."""
    patched = list(objects)
    for number, patch in enumerate(patches, start=1):
        called = f"patch {number} of spec.patches"
        operations = _operations(patch.patch)
        if isinstance(operations, str):
            return _refused(f"{called} is not a list of RFC 6902 operations: {operations}")
        places = [place for place, manifest in enumerate(patched) if _is_meant(patch.target, manifest)]
        if not places:
            return _refused(f"{called} is for {_target(patch.target)}, but {_held(patched)}")
        for place in places:
            result = _apply(patched[place], operations)
            if isinstance(result, str):
                return _refused(f"{called} on {_name(patched[place])}: {result}")
            patched[place] = result
    return patched


def _refused(message: str) -> Refusal:
    return Refusal(Reason.PATCH_REFUSED, message[:1024])


def _operations(text: str) -> list[dict[str, Any]] | str:
    """The operations, or what is wrong with them."""
    try:
        operations = json.loads(text)
        if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
            return "it is not a JSON array of objects"
        JsonPatch(operations)
    except json.JSONDecodeError as problem:
        return f"it is not JSON (line {problem.lineno}, column {problem.colno})"
    except RecursionError:
        return "it is nested too deeply"
    except (JsonPatchException, JsonPointerException, TypeError, AttributeError):
        return "an operation lacks op, path or what its op needs"
    if len(operations) > MAX_OPERATIONS:
        return f"it has {len(operations)} operations, at most {MAX_OPERATIONS} are allowed"
    return operations


def _apply(manifest: Manifest, operations: Sequence[Mapping[str, Any]]) -> Manifest | str:
    """The patched object, or why it cannot be had."""
    result: Any = manifest
    for number, operation in enumerate(operations, start=1):
        try:
            result = JsonPatch([dict(operation)]).apply(result)
        except (JsonPatchException, JsonPointerException, TypeError, AttributeError, ValueError):
            return f"operation {number} ({operation['op']} {operation['path']}) does not apply"
        if len(json.dumps(result)) > MAX_OBJECT_BYTES:
            return f"operation {number} makes it larger than {MAX_OBJECT_BYTES} bytes"
    return _overstep(manifest, result) or result


def _overstep(before: Manifest, after: Any) -> str | None:
    """What a patch changed that is not its to change."""
    if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
        return "it takes the object apart"
    if _fixed(before) != _fixed(after):
        return "kind, apiVersion, name, namespace and the label of the restore cannot be changed"
    if extra := after["metadata"].keys() - _METADATA:
        return f"metadata.{min(extra)} cannot be set"
    if before["kind"] == "VirtualMachine" and _power(before) != _power(after):
        return "a new VM is created halted; spec.runStrategy of the VMRestore says how it is left"
    return refuse_object(after)


def _fixed(manifest: Manifest) -> tuple[object, ...]:
    metadata = manifest["metadata"]
    labels = metadata.get("labels")
    mark = labels.get(RESTORED_BY) if isinstance(labels, dict) else None
    return manifest.get("apiVersion"), manifest.get("kind"), metadata.get("name"), metadata.get("namespace"), mark


def _power(manifest: Manifest) -> tuple[object, object]:
    spec = manifest.get("spec")
    return (spec.get("runStrategy"), spec.get("running")) if isinstance(spec, dict) else (None, None)


def _is_meant(target: PatchTarget, manifest: Mapping[str, Any]) -> bool:
    return manifest["kind"] == target.kind and target.name in (None, manifest["metadata"]["name"])


def _target(target: PatchTarget) -> str:
    return f"{target.kind} {target.name}" if target.name else f"objects of kind {target.kind}"


def _held(objects: Sequence[Mapping[str, Any]]) -> str:
    return f"the restore creates {', '.join(map(_name, objects))}"


def _name(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
