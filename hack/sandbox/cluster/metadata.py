"""Reading and changing what every object has: annotations, finalizers, owners, conditions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.cluster.client import Object


def annotations_of(obj: Object) -> dict[str, str]:
    """The object's annotations, empty if there are none."""
    return obj["metadata"].get("annotations") or {}


def labels_of(obj: Object) -> dict[str, str]:
    """The object's labels, empty if there are none."""
    return obj["metadata"].get("labels") or {}


def finalizers_of(obj: Object) -> list[str]:
    """The object's finalizers, empty if there are none."""
    return obj["metadata"].get("finalizers") or []


def is_deleting(obj: Object) -> bool:
    """True once deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def with_finalizers(obj: Object, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Object:
    """A copy with finalizers added at the end and removed."""
    changed = copy.deepcopy(obj)
    dropped = set(remove)
    kept = [name for name in finalizers_of(obj) if name not in dropped]
    changed["metadata"]["finalizers"] = kept + [name for name in add if name not in kept]
    return changed


def with_annotations(obj: Object, changes: Mapping[str, str | None]) -> Object:
    """A copy with annotations set, or removed where the value is None."""
    changed = copy.deepcopy(obj)
    merged = {**annotations_of(obj), **changes}
    changed["metadata"]["annotations"] = {key: value for key, value in merged.items() if value is not None}
    return changed


def with_status(obj: Object, changes: Mapping[str, Any]) -> Object:
    """A copy with fields of the status set, or removed where the value is None."""
    changed = copy.deepcopy(obj)
    merged = {**(obj.get("status") or {}), **changes}
    changed["status"] = {key: value for key, value in merged.items() if value is not None}
    return changed


def controller_reference(owner: Object) -> Object:
    """An ownerReference that makes `owner` the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_uid(obj: Object) -> str | None:
    """The uid of the owner that controls the object."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner["uid"])
    return None
