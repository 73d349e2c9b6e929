"""ObjectMeta: what the server fills in, what nobody may change, and what it must look like."""

import uuid
from collections.abc import Callable
from datetime import datetime

from sandbox.apiserver import names, statuses
from sandbox.apiserver.objects import JsonObject, format_time, is_deleting, metadata_of, name_of
from sandbox.apiserver.registry import Resource
from sandbox.apiserver.schema import ErrorKind, FieldError

_NAME_RULES: dict[tuple[str, str], Callable[[str], str | None]] = {
    ("", "namespaces"): names.label_fault,
    ("", "services"): names.dns_1035_fault,
    ("rbac.authorization.k8s.io", "roles"): names.path_segment_fault,
    ("rbac.authorization.k8s.io", "rolebindings"): names.path_segment_fault,
    ("rbac.authorization.k8s.io", "clusterroles"): names.path_segment_fault,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): names.path_segment_fault,
}
_ANNOTATIONS_LIMIT_BYTES = 256 * 1024
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_STANDARD_FINALIZERS = frozenset({"foregroundDeletion", "orphan"})


def begin(resource: Resource, item: JsonObject, namespace: str, now: datetime) -> None:
    """Fill in the metadata of a new object."""
    metadata = metadata_of(item)
    if metadata.get("resourceVersion"):
        raise statuses.ApiError(500, "", "resourceVersion should not be set on objects to be created")
    if resource.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        metadata.pop("namespace", None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.generated_name(metadata["generateName"])
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = format_time(now)
    if resource.generation or resource.custom:
        metadata["generation"] = 1


def carry_over(resource: Resource, item: JsonObject, current: JsonObject) -> None:
    """Put back what only the server sets, and refuse a write that is meant for another object."""
    metadata = metadata_of(item)
    old = current["metadata"]
    uid = metadata.get("uid")
    if uid and uid != old["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
        raise statuses.conflict(resource.group, resource.plural, name_of(current), why)
    metadata["name"] = old["name"]
    if resource.namespaced:
        metadata["namespace"] = old["namespace"]
    for name in _SERVER_FIELDS:
        metadata.pop(name, None)
        if name in old:
            metadata[name] = old[name]
    if "generateName" in old:
        metadata["generateName"] = old["generateName"]
    metadata.pop("selfLink", None)
    metadata["resourceVersion"] = old["resourceVersion"]


def check_url(item: JsonObject, name: str, namespace: str) -> None:
    """The object sent must carry the name and namespace of the URL, or none."""
    metadata = metadata_of(item)
    if metadata.setdefault("name", name) != name:
        message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise statuses.bad_request(message)
    if namespace and metadata.setdefault("namespace", namespace) != namespace:
        found = metadata["namespace"]
        message = f"the namespace of the object ({found}) does not match the namespace on the URL ({namespace})"
        raise statuses.bad_request(message)


def errors_of(resource: Resource, item: JsonObject) -> list[FieldError]:
    """What is wrong with the metadata of an object."""
    metadata = item["metadata"]
    errors = _name_errors(resource, metadata)
    errors += names.label_errors(metadata.get("labels") or {}, "metadata.labels")
    errors += _annotation_errors(metadata.get("annotations") or {})
    errors += _finalizer_errors(resource, metadata.get("finalizers") or [])
    errors += _owner_errors(metadata.get("ownerReferences") or [])
    return errors


def transition_errors(item: JsonObject, current: JsonObject) -> list[FieldError]:
    """What an update may not do to metadata: add finalizers to an object that is being deleted."""
    if not is_deleting(current):
        return []
    before = current["metadata"].get("finalizers") or []
    added = [name for name in item["metadata"].get("finalizers") or [] if name not in before]
    if not added:
        return []
    found = ", ".join(f'"{name}"' for name in added)
    detail = (
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{" + found + "}"
    )
    return [FieldError("metadata.finalizers", ErrorKind.FORBIDDEN, detail=detail)]


def _name_errors(resource: Resource, metadata: JsonObject) -> list[FieldError]:
    name = metadata.get("name")
    if not name:
        detail = "name or generateName is required"
        return [FieldError("metadata.name", ErrorKind.REQUIRED, detail=detail)]
    rule = _NAME_RULES.get((resource.group, resource.plural), names.subdomain_fault)
    fault = rule(str(name))
    return [FieldError("metadata.name", ErrorKind.INVALID, name, fault)] if fault else []


def _annotation_errors(annotations: JsonObject) -> list[FieldError]:
    errors = [
        FieldError("metadata.annotations", ErrorKind.INVALID, key, fault)
        for key in annotations
        if (fault := names.qualified_name_fault(key.lower()))
    ]
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT_BYTES:
        detail = f"may not be more than {_ANNOTATIONS_LIMIT_BYTES} bytes"
        errors.append(FieldError("metadata.annotations", ErrorKind.TOO_LONG, detail=detail))
    return errors


def _finalizer_errors(resource: Resource, finalizers: list[str]) -> list[FieldError]:
    errors = []
    for index, finalizer in enumerate(finalizers):
        path = f"metadata.finalizers[{index}]"
        if fault := names.qualified_name_fault(finalizer):
            errors.append(FieldError(path, ErrorKind.INVALID, finalizer, fault))
        elif not resource.group and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(FieldError(path, ErrorKind.INVALID, finalizer, detail))
    if set(finalizers) >= _STANDARD_FINALIZERS:
        detail = "finalizer set foregroundDeletion and orphan"
        errors.append(FieldError("metadata.finalizers", ErrorKind.INVALID, finalizers, detail))
    return errors


def _owner_errors(references: list[JsonObject]) -> list[FieldError]:
    errors = []
    for index, reference in enumerate(references):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                path = f"metadata.ownerReferences[{index}].{name}"
                errors.append(FieldError(path, ErrorKind.REQUIRED, detail="must not be empty"))
    if sum(bool(reference.get("controller")) for reference in references) > 1:
        detail = "Only one reference can have Controller set to true"
        errors.append(FieldError("metadata.ownerReferences", ErrorKind.INVALID, references, detail))
    return errors
