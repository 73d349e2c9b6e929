"""The check of defaults: each must be valid, with nothing to prune, and have only what its own schema fills in."""

from collections.abc import Iterator
from dataclasses import replace

from sandbox.apiserver.schema.defaulting import default
from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.pruning import prune
from sandbox.apiserver.schema.structure import Node
from sandbox.apiserver.schema.validation import validate_value


def check_defaults(node: Node, path: str) -> Iterator[FieldError]:
    """The faults of all defaults of a schema."""
    if node.default is not None:
        yield from _check_default(node, child(path, "default"))
    for name, part in node.properties.items():
        yield from check_defaults(part, entry(child(path, "properties"), name))
    if node.items:
        yield from check_defaults(node.items, child(path, "items"))
    if (additional := node.additional_node()) is not None:
        yield from check_defaults(additional, child(path, "additionalProperties"))


def _check_default(node: Node, path: str) -> Iterator[FieldError]:
    unknown: list[str] = []
    prune(node.default, node, is_root=node.embedded, path="", unknown=unknown)
    if unknown:
        yield FieldError(path, ErrorKind.INVALID, node.default, "must not have unknown fields")
    for error in validate_value(default(node.default, node), node, ""):
        yield replace(error, path=child(path, error.path) if error.path else path)
