"""JSON merge patch (RFC 7386): `application/merge-patch+json`."""

from typing import Any

from sandbox.apiserver.objects import copy_json


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch merged in; null removes a key, lists are replaced. The arguments are not changed."""
    if not isinstance(patch, dict):
        return copy_json(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
