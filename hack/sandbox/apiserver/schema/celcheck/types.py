"""CEL's types, with what cost estimates need to know of them: how many elements a value can have at most."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.apiserver.schema.celvalues import declared_parts, escape
from sandbox.apiserver.schema.structure import Node

_REQUEST_BYTES: Final = 3 * 1024 * 1024
"""kube-apiserver's limit of a request: what bounds values for which the schema sets no maximum."""
_LONGEST: Final = {"duration": 32, "date": 12, "date-time": 32}
_SMALLEST: Final = {
    "string": 2,
    "bytes": 2,
    "duration": 3,
    "timestamp": 21,
    "date": 12,
    "bool": 4,
    "int": 1,
    "double": 1,
}
_FORMATS: Final = {"byte": "bytes", "duration": "duration", "date": "timestamp", "date-time": "timestamp"}
_SCALARS: Final = {"boolean": "bool", "number": "double", "integer": "int"}


@dataclass(frozen=True, slots=True)
class CelType:
    """A type. `max_elements` bounds characters, bytes, items or entries; `min_bytes` is its smallest JSON."""

    kind: str
    element: "CelType | None" = None
    key: "CelType | None" = None
    fields: Mapping[str, "CelType"] = field(default_factory=dict)
    max_elements: int = 0
    min_bytes: int = 1

    def __str__(self) -> str:
        if self.kind == "list":
            return f"list({self.element})"
        return f"map({self.key}, {self.element})" if self.kind == "map" else self.kind

    def accepts(self, other: "CelType") -> bool:
        """True if a value of `other` may stand where this type is wanted; `dyn` is checked at run time only."""
        if "dyn" in (self.kind, other.kind):
            return True
        if "null" in (self.kind, other.kind):
            return self.kind == other.kind or {self.kind, other.kind} & {"object", "duration", "timestamp"} != set()
        if self.kind != other.kind:
            return False
        if self.kind == "object":
            return self.fields == other.fields
        return _agree(self.element, other.element) and _agree(self.key, other.key)


def _agree(left: CelType | None, right: CelType | None) -> bool:
    return left is None or right is None or left.accepts(right)


DYN: Final = CelType("dyn")
BOOL: Final = CelType("bool")
INT: Final = CelType("int")
STRING: Final = CelType("string", min_bytes=2)


def list_of(element: CelType, max_elements: int = 0) -> CelType:
    """The type of lists of `element`."""
    return CelType("list", element=element, max_elements=max_elements, min_bytes=2)


def declare(node: Node, *, is_root: bool = False) -> CelType | None:
    """The type under which rules see values of a schema, or None where they do not see them."""
    if node.int_or_string:
        longest = node.length.maximum
        return CelType("dyn", max_elements=_REQUEST_BYTES - 2 if longest is None else int(longest) * 4)
    if is_root or node.type == "object":
        return _declare_object(node, is_root=is_root)
    match node.type:
        case "array":
            element = declare(node.items, is_root=node.items.embedded) if node.items else None
            if element is None:
                return None
            limit = node.item_count.maximum
            return list_of(element, (_REQUEST_BYTES - 2) // (element.min_bytes + 1) if limit is None else int(limit))
        case "string":
            return _declare_text(node)
        case kind if kind in _SCALARS:
            return CelType(_SCALARS[kind], min_bytes=_SMALLEST[_SCALARS[kind]])
    return None


def _declare_object(node: Node, *, is_root: bool) -> CelType | None:
    if (value := node.additional_node()) is not None:
        element = declare(value, is_root=value.embedded)
        if element is None:
            return None
        limit = node.property_count.maximum
        entries = (_REQUEST_BYTES - 2) // (element.min_bytes + 6) if limit is None else int(limit)
        return CelType("map", element=element, key=STRING, max_elements=entries, min_bytes=2)
    fields: dict[str, CelType] = {}
    min_bytes = 2
    for name, part in declared_parts(node, is_root=is_root).items():
        declared = declare(part, is_root=part.embedded)
        if declared is None:
            continue
        if (escaped := escape(name)) is not None:
            fields[escaped] = declared
        if name in node.required and part.default is None:
            min_bytes += len(name) + declared.min_bytes + 4
    return CelType("object", fields=fields, min_bytes=min_bytes)


def _declare_text(node: Node) -> CelType:
    kind = _FORMATS.get(node.format, "string")
    limit = node.length.maximum
    if kind in ("duration", "timestamp"):
        longest = _LONGEST[node.format]
    elif limit is not None:
        # A character is up to four bytes.
        longest = int(limit) * (4 if kind == "string" else 1)
    elif node.enum and kind == "string":
        longest = max(len(str(choice)) for choice in node.enum)
    else:
        longest = _REQUEST_BYTES - 2
    smallest = _SMALLEST["date" if node.format == "date" else kind]
    return CelType(kind, max_elements=longest, min_bytes=smallest)


def max_cardinality(smallest: CelType) -> int:
    """How often a value of this type fits into one request: bounds the runs of a rule in unlimited lists and maps."""
    return _REQUEST_BYTES // (smallest.min_bytes + 1)
