"""OpenAPI schemas of the built-in types, derived from the models of the `kubernetes` package.

The package is generated from Kubernetes' own OpenAPI document, so field names, types and descriptions are those of the
real server; how lists merge comes from merge_keys.py.
"""

import re
from functools import cache
from typing import Any

import kubernetes.client as models

from sandbox.apiserver.merge_keys import (
    ATOMIC_TYPES,
    LIST_MAP_KEYS,
    LIST_SETS,
    PATCH_MERGE_KEYS,
    QUANTITY_FIELDS,
    RETAIN_KEYS,
)
from sandbox.apiserver.objects import JsonObject

REFERENCE_PREFIX = "#/components/schemas/"
_PRIMITIVES: dict[str, JsonObject] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
}
_ANY_VALUE: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}
_INT_OR_STRING: JsonObject = {"x-kubernetes-int-or-string": True}
_FREE_MODELS = frozenset({"V1JSONSchemaProps"})
"""Recursive types, which are kept as free-form objects inside self-contained schemas."""
_INT_OR_STRING_FIELDS = frozenset({"targetPort", "maxUnavailable", "minAvailable", "maxSurge", "port"})
_TYPE = re.compile(r"^(List|Dict)\[(?:str, )?(.*)\]$")


@cache
def definition(model: str) -> JsonObject:
    """The schema of one model, with references to the models that it holds. Callers must not change it."""
    cls = getattr(models, model)
    properties: JsonObject = {}
    required = []
    fields = {field.serialization_alias or attribute: field for attribute, field in cls.model_fields.items()}
    for attribute, type_name in cls.openapi_types.items():
        name = cls.attribute_map[attribute]
        properties[name] = _property(model, name, type_name, fields[name].description)
        # A status that is not given has zero values in the real server's structs; nobody has to write them.
        if fields[name].is_required() and not model.endswith("Status"):
            required.append(name)
    schema: JsonObject = {"type": "object", "description": _class_description(cls), "properties": properties}
    if required:
        schema["required"] = required
    if model in ATOMIC_TYPES:
        schema["x-kubernetes-map-type"] = "atomic"
    return schema


def _class_description(cls: type) -> str:
    return (cls.__doc__ or "").split("Attributes:")[0].strip()


def _property(model: str, name: str, type_name: str, description: str | None) -> JsonObject:
    schema = _type_schema(name, type_name)
    if "$ref" in schema:
        schema = {"allOf": [schema], "default": {}} if description else schema
    if description:
        schema = {"description": description, **schema}
    if schema.get("type") == "array":
        schema.update(_list_extensions(model, name))
    if name in RETAIN_KEYS.get(model, ()):
        merge = schema.get("x-kubernetes-patch-strategy")
        schema["x-kubernetes-patch-strategy"] = f"{merge},retainKeys" if merge else "retainKeys"
    return schema


def _type_schema(name: str, type_name: str) -> JsonObject:
    generic = _TYPE.match(type_name)
    if generic:
        item = _type_schema(name, generic[2])
        if generic[1] == "List":
            return {"type": "array", "items": item}
        return {"type": "object", "additionalProperties": item}
    if type_name == "str" and name in QUANTITY_FIELDS:
        return dict(_INT_OR_STRING)
    if type_name == "object":
        return dict(_INT_OR_STRING if name in _INT_OR_STRING_FIELDS else _ANY_VALUE)
    if type_name in _PRIMITIVES:
        return dict(_PRIMITIVES[type_name])
    return {"$ref": REFERENCE_PREFIX + type_name}


def _list_extensions(model: str, name: str) -> JsonObject:
    keys = LIST_MAP_KEYS.get(model, {}).get(name)
    extensions: JsonObject = {"x-kubernetes-list-type": "atomic"}
    if keys:
        extensions = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        extensions |= {"x-kubernetes-patch-merge-key": keys[0], "x-kubernetes-patch-strategy": "merge"}
    elif name in LIST_SETS.get(model, ()):
        extensions = {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    override = PATCH_MERGE_KEYS.get(model, {}).get(name)
    if override is not None:
        extensions["x-kubernetes-patch-strategy"] = "merge"
        if override:
            extensions["x-kubernetes-patch-merge-key"] = override
    return extensions


def referenced(schema: Any) -> set[str]:
    """Models that a schema names directly."""
    if isinstance(schema, list):
        return {name for item in schema for name in referenced(item)}
    if not isinstance(schema, dict):
        return set()
    found = {schema["$ref"].removeprefix(REFERENCE_PREFIX)} if isinstance(schema.get("$ref"), str) else set()
    return found.union(*(referenced(item) for item in schema.values() if isinstance(item, dict | list)))


def closure(model: str) -> set[str]:
    """The model and all models that it holds, at any depth."""
    found: set[str] = set()
    pending = {model}
    while pending:
        name = pending.pop()
        found.add(name)
        pending |= referenced(definition(name)) - found
    return found


@cache
def inline(model: str) -> JsonObject:
    """The model's schema without references, so that it stands by itself like a CRD's. Callers must not change it."""
    resolved: JsonObject = _resolve(definition(model))
    return resolved


def _resolve(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_resolve(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        model = reference.removeprefix(REFERENCE_PREFIX)
        return {"type": "object", **_ANY_VALUE} if model in _FREE_MODELS else inline(model)
    if isinstance(schema.get("allOf"), list):
        rest = {key: value for key, value in schema.items() if key not in ("allOf", "default")}
        return {**_resolve(schema["allOf"][0]), **rest}
    return {key: _resolve(item) for key, item in schema.items()}
