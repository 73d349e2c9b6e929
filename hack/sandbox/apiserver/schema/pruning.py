"""Pruning: fields that the schema does not declare are dropped, or reported when the request asks for strictness."""

from typing import Final

from sandbox.apiserver.schema.fields import child, entry
from sandbox.apiserver.schema.structure import Node

RESOURCE_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})
"""Declared implicitly at the root of every object and embedded object; metadata has a schema of its own."""


def prune(value: object, node: Node | None, *, is_root: bool, path: str, unknown: list[str]) -> object:
    """A copy of `value` without undeclared fields, whose paths are appended to `unknown`."""
    if isinstance(value, list):
        items = node.items if node else None
        keeps = node is not None and node.preserves_unknown and items is None
        return [
            item if keeps else prune(item, items, is_root=_is_embedded(items), path=entry(path, index), unknown=unknown)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    kept: dict[str, object] = {}
    for name, part in value.items():
        if is_root and name in RESOURCE_FIELDS:
            kept[name] = part
        elif node and (declared := node.part(name)):
            below = child(path, name) if name in node.properties else entry(path, name)
            kept[name] = prune(part, declared, is_root=declared.embedded, path=below, unknown=unknown)
        elif node and node.preserves_unknown:
            kept[name] = part
        elif node and node.additional is True:
            kept[name] = prune(part, None, is_root=False, path=entry(path, name), unknown=unknown)
        else:
            unknown.append(child(path, name))
    return kept


def _is_embedded(node: Node | None) -> bool:
    return node is not None and node.embedded
