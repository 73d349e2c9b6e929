"""A structural schema, read once into a tree of nodes that the other modules walk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_TYPE_NODES: Final = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of a number (minimum, maximum, multiple) or of a size (of strings, lists, maps)."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """One entry of x-kubernetes-validations, as written."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One schema: what a value there may be, and what its parts may be."""

    type: str
    format: str = ""
    nullable: bool = False
    int_or_string: bool = False
    preserves_unknown: bool = False
    embedded: bool = False
    properties: Mapping[str, "Node"] = field(default_factory=dict)
    additional: "Node | bool | None" = None
    items: "Node | None" = None
    default: object = None
    required: tuple[str, ...] = ()
    enum: tuple[object, ...] = ()
    pattern: str = ""
    number: Bounds = Bounds()
    length: Bounds = Bounds()
    item_count: Bounds = Bounds()
    property_count: Bounds = Bounds()
    unique_items: bool = False
    all_of: tuple["Node", ...] = ()
    any_of: tuple["Node", ...] = ()
    one_of: tuple["Node", ...] = ()
    negated: "Node | None" = None
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    rules: tuple[RuleText, ...] = ()
    rules_below: bool = False
    """True if this node or any part of it carries rules: others need no walk for them."""

    def additional_node(self) -> "Node | None":
        """The schema of undeclared entries, if there is one."""
        return self.additional if isinstance(self.additional, Node) else None

    def part(self, name: str) -> "Node | None":
        """The schema of the entry `name` of an object or map."""
        return self.properties.get(name) or self.additional_node()


def read_node(schema: Mapping[str, Any]) -> Node:
    """The tree of an OpenAPI v3 schema as CRDs carry it; unknown keywords mean nothing, as on the real server."""
    properties = {name: read_node(part) for name, part in (schema.get("properties") or {}).items()}
    items = read_node(schema["items"]) if isinstance(schema.get("items"), Mapping) else None
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        additional = read_node(additional)
    rules = tuple(_read_rule(rule) for rule in schema.get("x-kubernetes-validations") or ())
    parts = [*properties.values(), *(part for part in (items, additional) if isinstance(part, Node))]
    return Node(
        type=schema.get("type", ""),
        format=schema.get("format", ""),
        nullable=bool(schema.get("nullable")),
        int_or_string=bool(schema.get("x-kubernetes-int-or-string")),
        preserves_unknown=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        properties=properties,
        additional=additional,
        items=items,
        default=schema.get("default"),
        rules=rules,
        rules_below=bool(rules) or any(part.rules_below for part in parts),
        list_type=schema.get("x-kubernetes-list-type") or "atomic",
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        map_type=schema.get("x-kubernetes-map-type") or "granular",
        **_read_values(schema),
    )


def _read_values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that restrict values: the only ones allowed inside allOf, anyOf, oneOf and not."""
    junctors = {
        keyword: tuple(read_node(part) for part in schema.get(name) or ())
        for keyword, name in zip(("all_of", "any_of", "one_of"), _TYPE_NODES, strict=True)
    }
    return {
        "required": tuple(schema.get("required") or ()),
        "enum": tuple(schema.get("enum") or ()),
        "pattern": schema.get("pattern", ""),
        "unique_items": bool(schema.get("uniqueItems")),
        "number": Bounds(
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            exclusive_minimum=bool(schema.get("exclusiveMinimum")),
            exclusive_maximum=bool(schema.get("exclusiveMaximum")),
            multiple_of=schema.get("multipleOf"),
        ),
        "length": Bounds(minimum=schema.get("minLength"), maximum=schema.get("maxLength")),
        "item_count": Bounds(minimum=schema.get("minItems"), maximum=schema.get("maxItems")),
        "property_count": Bounds(minimum=schema.get("minProperties"), maximum=schema.get("maxProperties")),
        "negated": read_node(schema["not"]) if isinstance(schema.get("not"), Mapping) else None,
        **junctors,
    }


def _read_rule(rule: Mapping[str, Any]) -> RuleText:
    return RuleText(
        rule=rule.get("rule", ""),
        message=rule.get("message", ""),
        message_expression=rule.get("messageExpression", ""),
        reason=rule.get("reason", ""),
        field_path=rule.get("fieldPath", ""),
        optional_old_self=bool(rule.get("optionalOldSelf")),
    )


TYPE_NAMES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def type_name(value: object) -> str:
    """The OpenAPI type of a JSON value."""
    return "null" if value is None else TYPE_NAMES[type(value)]


FIELD_PATH_STEP: Final = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")
"""A step of a rule's fieldPath: `.name` or `['name']`."""
