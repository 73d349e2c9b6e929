"""Which part of the old object a part of the new one is compared with on an update.

Entries of objects and of granular maps go by name, items of lists of type map by their keys. Items of other lists and
parts of atomic maps have no counterpart: transition rules do not run there, and unchanged faults are not forgiven.
"""

from typing import Final

from sandbox.apiserver.schema.structure import Node


class _Uncorrelated:
    """There is no old value to compare with."""


UNCORRELATED: Final = _Uncorrelated()


def old_entry(node: Node, old: object, name: str) -> object:
    """The old value of an object's or map's entry."""
    if not isinstance(old, dict) or node.map_type == "atomic":
        return UNCORRELATED
    return old.get(name, UNCORRELATED)


def old_item(node: Node, old: object, item: object) -> object:
    """The old item with the same keys, if the list is of type map."""
    if not isinstance(old, list) or node.list_type != "map" or not isinstance(item, dict):
        return UNCORRELATED
    keys = [item.get(key) for key in node.list_keys]
    for candidate in old:
        if isinstance(candidate, dict) and [candidate.get(key) for key in node.list_keys] == keys:
            return candidate
    return UNCORRELATED
