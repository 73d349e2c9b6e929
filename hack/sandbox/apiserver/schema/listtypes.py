"""x-kubernetes-list-type, -list-map-keys and -map-type: how lists and maps merge, and what their items must then be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry

Schema = Mapping[str, Any]

_LIST_TYPE: Final = "x-kubernetes-list-type"
_LIST_KEYS: Final = "x-kubernetes-list-map-keys"
_MAP_TYPE: Final = "x-kubernetes-map-type"
_KINDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    _LIST_TYPE: ("array", ("atomic", "map", "set")),
    _MAP_TYPE: ("object", ("atomic", "granular")),
}


def check_list_and_map_types(schema: Schema, path: str) -> Iterator[FieldError]:
    """The faults of the merge keywords of one schema."""
    for keyword, (wanted, choices) in _KINDS.items():
        chosen = schema.get(keyword)
        if chosen is None:
            continue
        if schema.get("type", "") != wanted:
            kind = ErrorKind.INVALID if schema.get("type") else ErrorKind.REQUIRED
            detail = f"must be {wanted} if {keyword} is specified"
            yield FieldError(child(path, "type"), kind, schema.get("type"), detail)
        if chosen not in choices:
            supported = ", ".join(f'"{choice}"' for choice in choices)
            yield FieldError(child(path, keyword), ErrorKind.NOT_SUPPORTED, chosen, f"supported values: {supported}")
    keys = schema.get(_LIST_KEYS) or []
    if schema.get(_LIST_TYPE) == "map":
        yield from _check_map_list(schema, keys, path)
    elif keys:
        detail = f"must be map if {_LIST_KEYS} is non-empty"
        kind = ErrorKind.INVALID if schema.get(_LIST_TYPE) else ErrorKind.REQUIRED
        yield FieldError(child(path, _LIST_TYPE), kind, schema.get(_LIST_TYPE), detail)
    if schema.get(_LIST_TYPE) == "set" and isinstance(schema.get("items"), Mapping):
        yield from _check_set_items(schema["items"], child(path, "items"))


def _check_map_list(schema: Schema, keys: Sequence[str], path: str) -> Iterator[FieldError]:
    if not keys:
        detail = f"must not be empty if {_LIST_TYPE} is map"
        yield FieldError(child(path, _LIST_KEYS), ErrorKind.REQUIRED, detail=detail)
    if len(set(keys)) != len(keys):
        yield FieldError(child(path, _LIST_KEYS), ErrorKind.INVALID, list(keys), "entries must be unique")
    items = schema.get("items")
    if not isinstance(items, Mapping):
        detail = f"must have a schema if {_LIST_TYPE} is map"
        yield FieldError(child(path, "items"), ErrorKind.REQUIRED, detail=detail)
        return
    at = child(path, "items")
    if items.get("type") != "object":
        detail = f"must be object if parent array's {_LIST_TYPE} is map"
        yield FieldError(child(at, "type"), ErrorKind.INVALID, items.get("type"), detail)
    if items.get("nullable"):
        detail = f"cannot be nullable when {_LIST_TYPE} is map"
        yield FieldError(child(at, "nullable"), ErrorKind.FORBIDDEN, detail=detail)
    for key in keys:
        yield from _check_key(items, key, keys, path)


def _check_key(items: Schema, key: str, keys: Sequence[str], path: str) -> Iterator[FieldError]:
    """A key of a map list must be a scalar property that every item has."""
    part = (items.get("properties") or {}).get(key)
    if part is None:
        detail = "entries must all be names of item properties"
        yield FieldError(child(path, _LIST_KEYS), ErrorKind.INVALID, list(keys), detail)
        return
    at = entry(child(child(path, "items"), "properties"), key)
    if part.get("type") in ("array", "object"):
        detail = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
        yield FieldError(child(at, "type"), ErrorKind.INVALID, part["type"], detail)
    why = f"this property is in {_LIST_KEYS}, so it"
    if part.get("nullable"):
        yield FieldError(child(at, "nullable"), ErrorKind.FORBIDDEN, detail=f"{why} cannot be nullable")
    if key not in (items.get("required") or ()) and part.get("default") is None:
        detail = f"{why} must have a default or be a required property"
        yield FieldError(child(at, "default"), ErrorKind.REQUIRED, detail=detail)


def _check_set_items(items: Schema, at: str) -> Iterator[FieldError]:
    """Items of a set are compared as a whole, so nothing may merge inside of them."""
    if items.get("nullable"):
        detail = f"cannot be nullable when {_LIST_TYPE} is set"
        yield FieldError(child(at, "nullable"), ErrorKind.FORBIDDEN, detail=detail)
    for kind, keyword in (("object", _MAP_TYPE), ("array", _LIST_TYPE)):
        if items.get("type") == kind and items.get(keyword) != "atomic":
            detail = f"must be atomic as item of a list with {_LIST_TYPE}=set"
            yield FieldError(child(at, keyword), ErrorKind.INVALID, items.get(keyword), detail)
