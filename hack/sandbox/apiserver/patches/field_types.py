"""What a schema says about merging: which lists are keyed, which values are owned as a whole.

A `FieldType` is the view of an OpenAPI schema that server-side apply and strategic merge patch need. Where a schema
says nothing (preserve-unknown-fields), maps merge by key and lists are atomic, as in the real server's deduced types.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sandbox.apiserver import openapi_models
from sandbox.apiserver.objects import JsonObject

Shape = Literal["scalar", "atomic", "struct", "map", "list-map", "list-set", "deduced"]


@dataclass(frozen=True)
class FieldType:
    """How one field merges; children are derived when asked for."""

    schema: JsonObject = field(repr=False)

    @cached_property
    def shape(self) -> Shape:
        """The kind of merging."""
        schema = self.schema
        if schema.get("x-kubernetes-map-type") == "atomic":
            return "atomic"
        if schema.get("type") == "array":
            return _LIST_SHAPES.get(schema.get("x-kubernetes-list-type", "atomic"), "atomic")
        if "properties" in schema or schema.get("x-kubernetes-embedded-resource"):
            return "struct"
        if isinstance(schema.get("additionalProperties"), dict):
            return "map"
        if schema.get("type") == "object" or schema.get("x-kubernetes-preserve-unknown-fields"):
            return "deduced"
        return "scalar"

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Fields that identify an item of a list-map."""
        return tuple(self.schema.get("x-kubernetes-list-map-keys", ()))

    @cached_property
    def merge_key(self) -> str | None:
        """The strategic merge patch's key of a list; "" merges plain values; None replaces the list."""
        if "merge" not in self.schema.get("x-kubernetes-patch-strategy", "").split(","):
            return None
        return str(self.schema.get("x-kubernetes-patch-merge-key", ""))

    def names(self, key: str) -> bool:
        """The schema names this key as a field, in contrast to a key of a map."""
        return key in self._children or (self._is_root and key == "metadata")

    def child(self, key: str) -> "FieldType":
        """The type of a field or of a map's value."""
        if key not in self._children:
            return self._additional
        return self._children[key]

    @cached_property
    def item(self) -> "FieldType":
        """The type of a list's items."""
        return FieldType(self.schema.get("items") or _DEDUCED)

    def default_of(self, key: str) -> Any:
        """The schema's default of an item's key field, which a list-map needs where the item leaves it out."""
        return self.schema.get("properties", {}).get(key, {}).get("default")

    @cached_property
    def _children(self) -> dict[str, "FieldType"]:
        children = {name: FieldType(schema) for name, schema in self.schema.get("properties", {}).items()}
        if self._is_root:
            children["metadata"] = OBJECT_META
        return children

    @cached_property
    def _is_root(self) -> bool:
        properties = self.schema.get("properties", {})
        return bool(self.schema.get("x-kubernetes-embedded-resource")) or {"kind", "metadata"} <= properties.keys()

    @cached_property
    def _additional(self) -> "FieldType":
        additional = self.schema.get("additionalProperties")
        return FieldType(additional if isinstance(additional, dict) else _DEDUCED)


_LIST_SHAPES: dict[str, Shape] = {"map": "list-map", "set": "list-set", "atomic": "atomic"}
_DEDUCED: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}
OBJECT_META = FieldType(openapi_models.inline("V1ObjectMeta"))
"""Every object's metadata, which CRD schemas leave out."""


def root_type(schema: JsonObject) -> FieldType:
    """The type of a whole object; CRDs need not declare apiVersion, kind and metadata."""
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return FieldType({**schema, "properties": {**properties, **schema.get("properties", {})}})


_PORT_PROTOCOL = "TCP"


def item_key(item: JsonObject, list_type: FieldType) -> JsonObject:
    """The identifying fields of a list-map's item, defaults filled in (`protocol` is TCP in every built-in list)."""
    found: JsonObject = {}
    for name in sorted(list_type.keys):
        value = item.get(name)
        if value is None:
            value = list_type.item.default_of(name)
        if value is None and name == "protocol":
            value = _PORT_PROTOCOL
        if value is not None:
            found[name] = value
    return found
