"""Strategic merge patch: `application/strategic-merge-patch+json`, for built-in kinds only.

Like a merge patch, but keyed lists merge item by item, and the directives `$patch`, `$retainKeys`, `$setElementOrder/…`
and `$deleteFromPrimitiveList/…` are obeyed, as `kubectl apply` and `kubectl edit` write them.
"""

from typing import Any

from sandbox.apiserver.objects import JsonObject, copy_json
from sandbox.apiserver.patches.field_types import FieldType
from sandbox.apiserver.statuses import bad_request

_ORDER = "$setElementOrder/"
_DELETE_VALUES = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def strategic_merge_patch(target: JsonObject, patch: JsonObject, field_type: FieldType) -> JsonObject:
    """The target with the patch merged in by the type's merge keys. The arguments are not changed."""
    return _merge_map(target, patch, field_type)


def _merge_map(target: JsonObject, patch: JsonObject, field_type: FieldType) -> JsonObject:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy_json(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type in map: {directive}")
    merged = dict(target)
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_key(merged, key, value, patch, field_type)
    _delete_values(merged, patch)
    return merged


def _merge_key(merged: JsonObject, key: str, value: Any, patch: JsonObject, field_type: FieldType) -> None:
    child = field_type.child(key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        present = merged.get(key)
        result = _merge_map(present if isinstance(present, dict) else {}, value, child)
        if value.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = result
    elif isinstance(value, list) and child.merge_key is not None:
        present = merged.get(key)
        result_list = _merge_list(present if isinstance(present, list) else [], value, child)
        merged[key] = _ordered(result_list, patch.get(_ORDER + key), child.merge_key)
    else:
        merged[key] = copy_json(value)


def _merge_list(target: list[Any], patch: list[Any], list_type: FieldType) -> list[Any]:
    key = list_type.merge_key
    if not key:
        return target + [value for value in patch if value not in target]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy_json(item) for item in patch if "$patch" not in item]
    merged = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((at for at, present in enumerate(merged) if present.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            merged.append(_merge_map({}, item, list_type.item))
        else:
            merged[place] = _merge_map(merged[place], item, list_type.item)
    return merged


def _ordered(items: list[Any], order: list[Any] | None, key: str) -> list[Any]:
    if not order:
        return items
    wanted = [entry.get(key) if isinstance(entry, dict) else entry for entry in order]
    ranks = {identity: rank for rank, identity in enumerate(wanted)}
    return sorted(items, key=lambda item: ranks.get(item.get(key) if isinstance(item, dict) else item, len(ranks)))


def _delete_values(merged: JsonObject, patch: JsonObject) -> None:
    for directive, values in patch.items():
        if not directive.startswith(_DELETE_VALUES):
            continue
        key = directive.removeprefix(_DELETE_VALUES)
        if key in merged:
            merged[key] = [value for value in merged[key] if value not in values]
    for directive, order in patch.items():
        if directive.startswith(_ORDER) and isinstance(merged.get(directive.removeprefix(_ORDER)), list):
            key = directive.removeprefix(_ORDER)
            if order and not isinstance(order[0], dict):
                merged[key] = _ordered(merged[key], order, "")
