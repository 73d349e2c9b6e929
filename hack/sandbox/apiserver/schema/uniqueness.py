"""Lists of type set and map: no item, or no combination of keys, may appear twice."""

import json
from collections.abc import Iterator

from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.structure import Node


def duplicates(value: object, node: Node, path: str) -> Iterator[FieldError]:
    """The second appearance of every repeated item below `value`."""
    if isinstance(value, list):
        if node.list_type in ("set", "map"):
            yield from _duplicates_of(value, node, path)
        if node.items:
            for index, item in enumerate(value):
                yield from duplicates(item, node.items, entry(path, index))
    elif isinstance(value, dict):
        for name, part in value.items():
            if declared := node.part(name):
                below = child(path, name) if name in node.properties else entry(path, name)
                yield from duplicates(part, declared, below)


def _duplicates_of(values: list[object], node: Node, path: str) -> Iterator[FieldError]:
    seen: dict[str, int] = {}
    for index, item in enumerate(values):
        identity = item
        if node.list_type == "map":
            if item is not None and not isinstance(item, dict):
                detail = "must be an object for an array of list-type map"
                yield FieldError(entry(path, index), ErrorKind.INVALID, item, detail)
                return
            identity = {key: item[key] for key in node.list_keys if key in item} if item else {}
        text = json.dumps(identity, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield FieldError(entry(path, index), ErrorKind.DUPLICATE, identity)
