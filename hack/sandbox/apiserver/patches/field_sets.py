"""Sets of field paths, and their JSON form `fieldsV1`.

A path is a tuple of steps as fieldsV1 spells them: `f:name` (field or map key), `k:{"name":"a"}` (item of a keyed
list), `v:"x"` (item of a set). A set holds members only; a member's ancestors are not members by that.
"""

import json
from collections.abc import Iterable
from typing import Any

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.patches.field_types import FieldType, item_key

Path = tuple[str, ...]
FieldSet = frozenset[Path]


def step_of_item(item: Any, list_type: FieldType) -> str:
    """The step that names an item of a list-map or list-set."""
    if list_type.shape == "list-map" and isinstance(item, dict):
        return "k:" + json.dumps(item_key(item, list_type), separators=(",", ":"), sort_keys=True)
    return "v:" + json.dumps(item, separators=(",", ":"))


def fields_of(value: Any, field_type: FieldType, path: Path = ()) -> set[Path]:
    """The fields that a configuration states: its leaves, list items and empty maps."""
    shape = field_type.shape
    if isinstance(value, dict) and shape in ("struct", "map", "deduced"):
        return _fields_of_map(value, field_type, path)
    if isinstance(value, list) and shape in ("list-map", "list-set"):
        found = {path} if not value else set()
        for item in value:
            inner = (*path, step_of_item(item, field_type))
            found.add(inner)
            if shape == "list-map":
                found |= fields_of(item, field_type.item, inner)
        return found
    return {path}


def _fields_of_map(value: JsonObject, field_type: FieldType, path: Path) -> set[Path]:
    if not value:
        return {path}
    found = set()
    for key, item in value.items():
        inner = (*path, f"f:{key}")
        found |= fields_of(item, field_type.child(key), inner)
        if not field_type.names(key):
            found.add(inner)
    return found


def to_fields_v1(fields: Iterable[Path]) -> JsonObject:
    """The tree that managedFields carries; `.` marks a member that has members beneath it."""
    tree: JsonObject = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    simplified: JsonObject = _drop_lone_dots(tree)
    return simplified


def _drop_lone_dots(tree: JsonObject) -> JsonObject:
    if tree.keys() == {"."}:
        return {}
    return {step: node if step == "." else _drop_lone_dots(node) for step, node in tree.items()}


def from_fields_v1(tree: JsonObject) -> FieldSet:
    """The inverse of to_fields_v1."""
    return frozenset(_members(tree, ()))


def _members(tree: JsonObject, path: Path) -> Iterable[Path]:
    if not tree and path:
        yield path
    for step, node in tree.items():
        if step == ".":
            yield path
        else:
            yield from _members(node, (*path, step))


def with_ancestors(fields: Iterable[Path]) -> set[Path]:
    """The members and everything above them."""
    return {path[:length] for path in fields for length in range(1, len(path) + 1)}


def describe(path: Path) -> str:
    """As the real server prints it: `.spec.containers[name="a"].image`."""
    return "".join(_describe_step(step) for step in path)


def _describe_step(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        pairs = (f"{name}={json.dumps(value)}" for name, value in sorted(json.loads(text).items()))
        return "[" + ",".join(pairs) + "]"
    return f"[={text}]"
