"""Setting and comparing values at dotted paths of an object."""

from typing import Any

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.schema import ErrorKind, FieldError

IMMUTABLE = "field is immutable"


def value_at(item: JsonObject | None, path: str) -> Any:
    """The value at `spec.a.b`, or None."""
    value: Any = item
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def set_default(item: JsonObject, **defaults: Any) -> None:
    """Set what is absent."""
    for name, value in defaults.items():
        item.setdefault(name, value)


def part(item: JsonObject, name: str) -> JsonObject:
    """The map under a key; made when absent or null."""
    if not isinstance(item.get(name), dict):
        item[name] = {}
    found: JsonObject = item[name]
    return found


def immutable(item: JsonObject, old: JsonObject | None, *paths: str) -> list[FieldError]:
    """`field is immutable` for every path whose value an update changes."""
    if old is None:
        return []
    return [
        FieldError(path, ErrorKind.INVALID, value_at(item, path), IMMUTABLE)
        for path in paths
        if value_at(item, path) != value_at(old, path)
    ]


def one_of(item: JsonObject, path: str, *allowed: str) -> list[FieldError]:
    """`Unsupported value` unless the value is absent or allowed."""
    value = value_at(item, path)
    if value is None or value in allowed:
        return []
    detail = "supported values: " + ", ".join(f'"{each}"' for each in sorted(allowed))
    return [FieldError(path, ErrorKind.NOT_SUPPORTED, value, detail)]
