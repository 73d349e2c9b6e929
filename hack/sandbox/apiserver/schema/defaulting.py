"""Defaulting: missing fields that have a default get it, and null means missing where null is not allowed."""

import copy

from sandbox.apiserver.schema.structure import Node


def default(value: object, node: Node) -> object:
    """A copy of `value` with defaults filled in, from the outside inwards, and stray nulls dropped."""
    if isinstance(value, list) and node.items:
        return [default(_filled(item, node.items), node.items) for item in value]
    if not isinstance(value, dict):
        return value
    filled: dict[str, object] = {}
    for name, part in value.items():
        declared = node.part(name)
        if declared is None:
            filled[name] = part
        elif part is not None or declared.nullable or declared.default is not None:
            filled[name] = default(_filled(part, declared), declared)
    for name, declared in node.properties.items():
        if name not in filled and declared.default is not None:
            filled[name] = default(copy.deepcopy(declared.default), declared)
    return filled


def _filled(value: object, node: Node) -> object:
    """The default in place of a null that the schema does not allow."""
    return copy.deepcopy(node.default) if value is None and not node.nullable else value
