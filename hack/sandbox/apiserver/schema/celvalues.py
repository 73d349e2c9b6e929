"""Objects as CEL sees them: declared fields only, under escaped names, and typed by their format."""

import base64
import re
from contextlib import suppress
from datetime import timedelta
from typing import Final

from sandbox.apiserver.schema.formats import parse_date_time
from sandbox.apiserver.schema.structure import Node

_RESERVED: Final = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_SYMBOLS: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_IDENTIFIER: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_TEXT: Final = Node(type="string")
_META: Final = Node(type="object", properties={"name": _TEXT, "generateName": _TEXT})
_RESOURCE_PARTS: Final = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _META}


def escape(name: str) -> str | None:
    """The name under which a rule reaches a field, or None if it cannot (Kubernetes' escaping of property names)."""
    if name in _RESERVED:
        return f"__{name}__"
    escaped = re.sub(r"__|[.\-/]", lambda match: _SYMBOLS[match[0]], name)
    return escaped if _IDENTIFIER.fullmatch(escaped) else None


def declared_parts(node: Node, *, is_root: bool) -> dict[str, Node]:
    """The properties that rules may name; the root of an object also has apiVersion, kind and metadata's names."""
    return {**node.properties, **_RESOURCE_PARTS} if is_root else dict(node.properties)


def cel_value(value: object, node: Node, *, is_root: bool = False) -> object:
    """A JSON value as the CEL library takes it. Fields that the schema does not declare are invisible."""
    if isinstance(value, dict):
        return _cel_object(value, node, is_root=is_root)
    if isinstance(value, list) and node.items:
        return [cel_value(item, node.items, is_root=node.items.embedded) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and node.type == "number":
        return float(value)
    if isinstance(value, str) and node.type == "string":
        return _cel_text(value, node.format)
    return value


def _cel_object(value: dict[str, object], node: Node, *, is_root: bool) -> dict[str, object]:
    if part := node.additional_node():
        return {name: cel_value(item, part, is_root=part.embedded) for name, item in value.items()}
    parts = declared_parts(node, is_root=is_root)
    return {
        escaped: cel_value(value[name], part, is_root=part.embedded)
        for name, part in parts.items()
        if name in value and (escaped := escape(name)) is not None
    }


def _cel_text(text: str, format_name: str) -> object:
    """A string, or what its format makes of it. A malformed one stays a string: another error reports it."""
    with suppress(ValueError):
        match format_name:
            case "byte":
                return base64.b64decode(text, validate=True)
            case "date-time":
                return parse_date_time(text)
            case "duration":
                return parse_duration(text)
    return text


def parse_duration(text: str) -> timedelta:
    """A duration as Go writes it, such as 1h30m; ValueError if it is none. Resolution is a microsecond."""
    unsigned = text.lstrip("+-")
    parts = _DURATION_PART.findall(unsigned)
    if not unsigned or (unsigned != "0" and "".join(number + unit for number, unit in parts) != unsigned):
        raise ValueError(f"{text!r} is no duration")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)
