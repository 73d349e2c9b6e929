"""The rules of structural schemas: every part has a type, and logic (allOf, anyOf, …) only restricts values."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.listtypes import check_list_and_map_types
from sandbox.apiserver.schema.patterns import pattern_fault

Schema = Mapping[str, Any]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("additionalItems", "definitions", "dependencies", "patternProperties", "$ref")
_FORBIDDEN_IN_LOGIC: Final = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_EMPTY_TYPE: Final = {
    "root": "must not be empty at the root",
    "items": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


def check_structure(schema: Schema, path: str, level: str = "root") -> Iterator[FieldError]:
    """The faults of a schema's structure; `level` is root, items or field."""
    yield from _check_keywords(schema, path)
    yield from _check_type(schema, path, level)
    yield from check_list_and_map_types(schema, path)
    yield from _check_logic(schema, path)
    yield from _check_completeness(schema, schema, path, path)
    if level == "root" or schema.get("x-kubernetes-embedded-resource"):
        yield from _check_resource(schema, path, level)
    for name, part in (schema.get("properties") or {}).items():
        if not (level == "root" and name == "metadata"):
            yield from check_structure(part, entry(child(path, "properties"), name), "field")
    if isinstance(schema.get("items"), Mapping):
        yield from check_structure(schema["items"], child(path, "items"), "items")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from check_structure(schema["additionalProperties"], child(path, "additionalProperties"), "field")


def _check_keywords(schema: Schema, path: str) -> Iterator[FieldError]:
    """Keywords of OpenAPI that CRDs may not use."""
    for keyword in _UNSUPPORTED:
        if schema.get(keyword):
            yield FieldError(child(path, keyword), ErrorKind.FORBIDDEN, detail=f"{keyword} is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield FieldError(child(path, "uniqueItems"), ErrorKind.FORBIDDEN, detail=detail)
    if isinstance(schema.get("items"), list):
        detail = "items must be a schema object and not an array"
        yield FieldError(child(path, "items"), ErrorKind.FORBIDDEN, detail=detail)
    if schema.get("additionalProperties") is False:
        detail = "additionalProperties cannot be set to false"
        yield FieldError(child(path, "additionalProperties"), ErrorKind.FORBIDDEN, detail=detail)
    if schema.get("additionalProperties") and schema.get("properties"):
        detail = "additionalProperties and properties are mutual exclusive"
        yield FieldError(child(path, "additionalProperties"), ErrorKind.FORBIDDEN, detail=detail)
    pattern = schema.get("pattern")
    if pattern and (fault := pattern_fault(pattern)):
        detail = f"must be a valid regular expression, but isn't: {fault}"
        yield FieldError(child(path, "pattern"), ErrorKind.INVALID, pattern, detail)


def _check_type(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    found, at = schema.get("type", ""), child(path, "type")
    int_or_string = schema.get("x-kubernetes-int-or-string")
    preserves = schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("x-kubernetes-embedded-resource") and found != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield FieldError(at, ErrorKind.INVALID if found else ErrorKind.REQUIRED, found, detail)
    elif not found and not int_or_string and not preserves:
        yield FieldError(at, ErrorKind.REQUIRED, detail=_EMPTY_TYPE[level])
    elif found and found not in _TYPES:
        supported = ", ".join(f'"{name}"' for name in _TYPES)
        yield FieldError(at, ErrorKind.NOT_SUPPORTED, found, f"supported values: {supported}")
    if found == "array" and schema.get("items") is None:
        yield FieldError(child(path, "items"), ErrorKind.REQUIRED, detail="must be specified")
    if int_or_string:
        for keyword in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(keyword):
                detail = "must be false if x-kubernetes-int-or-string is true"
                yield FieldError(child(path, keyword), ErrorKind.INVALID, bad_value=True, detail=detail)


def _check_resource(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    """The root of an object, or of an object inside another."""
    properties = schema.get("properties") or {}
    if level == "root":
        if schema.get("type", "object") != "object":
            yield FieldError(child(path, "type"), ErrorKind.INVALID, schema["type"], "must be object at the root")
        if schema.get("additionalProperties"):
            detail = "must not be used at the root"
            yield FieldError(child(path, "additionalProperties"), ErrorKind.FORBIDDEN, detail=detail)
        yield from _check_root_metadata(properties.get("metadata"), path)
    elif not properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield FieldError(child(path, "properties"), ErrorKind.REQUIRED, detail=detail)
    for name, wanted in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        found = properties.get(name, {}).get("type", wanted)
        if found != wanted:
            at = child(entry(child(path, "properties"), name), "type")
            yield FieldError(at, ErrorKind.INVALID, found, f"must be {wanted}")


def _check_root_metadata(metadata: Schema | None, path: str) -> Iterator[FieldError]:
    restricts = {"type", "description", "properties"}
    allowed = {"name", "generateName"}
    if metadata and not (metadata.keys() <= restricts and (metadata.get("properties") or {}).keys() <= allowed):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield FieldError(entry(child(path, "properties"), "metadata"), ErrorKind.FORBIDDEN, detail=detail)


def _junctors(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas joined by logic, except Kubernetes' own spelling of int-or-string."""
    for keyword in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(keyword) or []
        if keyword == "anyOf" and parts == _INT_OR_STRING:
            continue
        for index, part in enumerate(parts):
            if not (keyword == "allOf" and index == 0 and part == {"anyOf": _INT_OR_STRING}):
                yield entry(keyword, index), part
    if schema.get("not"):
        yield "not", schema["not"]


def _check_logic(schema: Schema, path: str) -> Iterator[FieldError]:
    for name, part in _junctors(schema):
        yield from _check_values_only(part, child(path, name))


def _check_values_only(schema: Schema, path: str) -> Iterator[FieldError]:
    """Inside logic a schema may restrict values but declare nothing."""
    for keyword, detail in _FORBIDDEN_IN_LOGIC.items():
        if schema.get(keyword):
            yield FieldError(child(path, keyword), ErrorKind.FORBIDDEN, detail=detail)
    yield from _check_logic(schema, path)
    for name, part in (schema.get("properties") or {}).items():
        at = entry(child(path, "properties"), name)
        if name == "metadata":
            yield FieldError(at, ErrorKind.FORBIDDEN, detail="must not be specified in a nested context")
        yield from _check_values_only(part, at)
    if isinstance(schema.get("items"), Mapping):
        yield from _check_values_only(schema["items"], child(path, "items"))


def _check_completeness(schema: Schema, declared: Schema, path: str, declared_path: str) -> Iterator[FieldError]:
    """What logic talks about must be declared outside of it."""
    for name, part in _junctors(schema):
        yield from _check_declared(part, declared, child(path, name), declared_path)


def _check_declared(part: Schema, declared: Schema, path: str, declared_path: str) -> Iterator[FieldError]:
    known = declared.get("properties") or {}
    for name, below in (part.get("properties") or {}).items():
        at = entry(child(declared_path, "properties"), name)
        if name not in known:
            via = entry(child(path, "properties"), name)
            yield FieldError(at, ErrorKind.REQUIRED, detail=f"because it is defined in {via}")
        else:
            yield from _check_declared(below, known[name], entry(child(path, "properties"), name), at)
    if isinstance(part.get("items"), Mapping):
        if not isinstance(declared.get("items"), Mapping):
            detail = f"because it is defined in {child(path, 'items')}"
            yield FieldError(child(declared_path, "items"), ErrorKind.REQUIRED, detail=detail)
        else:
            at = child(declared_path, "items")
            yield from _check_declared(part["items"], declared["items"], child(path, "items"), at)
    yield from _check_completeness(part, declared, path, declared_path)
