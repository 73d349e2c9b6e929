"""Server-side apply: `application/apply-patch+yaml`.

A configuration is merged into the live object; fields that the manager stated before and states no longer are removed
unless somebody else owns them; fields of others whose value would change are conflicts, unless forced.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from typing import Any

from sandbox.apiserver.objects import JsonObject, copy_json
from sandbox.apiserver.patches.comparison import compare
from sandbox.apiserver.patches.field_sets import FieldSet, Path, describe, fields_of, step_of_item, with_ancestors
from sandbox.apiserver.patches.field_types import FieldType
from sandbox.apiserver.patches.managed_fields import (
    Ownership,
    Writer,
    owned,
    ownership_of,
    store_ownership,
    taken_from_others,
)
from sandbox.apiserver.statuses import ApiError

_BEFORE_FIRST_APPLY = "before-first-apply"


def apply_patch(
    live: JsonObject, config: JsonObject, field_type: FieldType, writer: Writer, *, force: bool, now: datetime
) -> JsonObject:
    """The object after the apply, managedFields included. ApiError 409 names every conflicting field and its owner."""
    config = _without_nulls(config)
    config.get("metadata", {}).pop("managedFields", None)
    owners = _previous_owners(live, field_type, writer)
    mine = _entry_of(owners, writer)
    last = owners.pop(mine, frozenset())
    stated = owned(fields_of(config, field_type))
    merged: JsonObject = _prune(_merge(live, config, field_type), field_type, last, stated, owners)
    comparison = compare(live, merged, field_type)
    if not force:
        _refuse_conflicts(owners, comparison.touched())
    owners = taken_from_others(owners, comparison, writer)
    owners[writer] = stated
    store_ownership(live, merged, owners, now)
    return merged


def _entry_of(owners: Ownership, writer: Writer) -> Writer:
    """The manager's earlier apply, which may have been in another version of the API."""
    for other in owners:
        if replace(other, api_version=writer.api_version) == writer:
            return other
    return writer


def _previous_owners(live: JsonObject, field_type: FieldType, writer: Writer) -> Ownership:
    owners = ownership_of(live)
    if owners or not live.get("metadata", {}).get("uid"):
        return owners
    unknown = Writer(_BEFORE_FIRST_APPLY, "Update", writer.api_version)
    return {unknown: owned(fields_of(live, field_type))}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _merge(live: Any, config: Any, field_type: FieldType) -> Any:
    shape = field_type.shape
    if isinstance(config, dict) and isinstance(live, dict) and shape in ("struct", "map", "deduced"):
        merged = dict(live)
        for key, value in config.items():
            merged[key] = _merge(live[key], value, field_type.child(key)) if key in live else copy_json(value)
        return merged
    if isinstance(config, list) and isinstance(live, list) and shape in ("list-map", "list-set"):
        return _merge_lists(live, config, field_type)
    return copy_json(config)


def _merge_lists(live: list[Any], config: list[Any], field_type: FieldType) -> list[Any]:
    wanted = {step_of_item(item, field_type): item for item in config}
    present = {step_of_item(item, field_type): item for item in live}
    merged = [
        _merge(item, wanted[step], field_type.item) if step in wanted and field_type.shape == "list-map" else item
        for step, item in present.items()
    ]
    return merged + [copy_json(item) for step, item in wanted.items() if step not in present]


def _prune(merged: Any, field_type: FieldType, last: FieldSet, stated: FieldSet, owners: Ownership) -> Any:
    kept = with_ancestors(stated)
    for fields in owners.values():
        kept |= with_ancestors(fields)
    dropped = with_ancestors(last) - kept
    return _remove(merged, field_type, (), dropped) if dropped else merged


def _remove(value: Any, field_type: FieldType, path: Path, dropped: set[Path]) -> Any:
    if isinstance(value, dict) and field_type.shape in ("struct", "map", "deduced"):
        return {
            key: _remove(item, field_type.child(key), (*path, f"f:{key}"), dropped)
            for key, item in value.items()
            if (*path, f"f:{key}") not in dropped
        }
    if isinstance(value, list) and field_type.shape in ("list-map", "list-set"):
        steps = [(step_of_item(item, field_type), item) for item in value]
        return [
            _remove(item, field_type.item, (*path, step), dropped)
            for step, item in steps
            if (*path, step) not in dropped
        ]
    return value


def _refuse_conflicts(owners: Ownership, touched: set[Path]) -> None:
    conflicts = [(writer, path) for writer, fields in owners.items() for path in sorted(fields & touched)]
    if not conflicts:
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_describe_writer(writer)}",
            "field": describe(path),
        }
        for writer, path in conflicts
    ]
    raise ApiError(409, "Conflict", _conflict_message(conflicts), {"causes": causes})


def _conflict_message(conflicts: list[tuple[Writer, Path]]) -> str:
    if len(conflicts) == 1:
        writer, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {_describe_writer(writer)}: {describe(path)}"
    by_writer: dict[str, list[str]] = defaultdict(list)
    for writer, path in conflicts:
        by_writer[_describe_writer(writer)].append(f"- {describe(path)}")
    blocks = [f"conflicts with {name}:\n" + "\n".join(paths) for name, paths in sorted(by_writer.items())]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(blocks)


def _describe_writer(writer: Writer) -> str:
    text = f'"{writer.manager}"'
    if writer.subresource:
        text += f' with subresource "{writer.subresource}"'
    return f"{text} using {writer.api_version}" if writer.operation == "Update" else text
