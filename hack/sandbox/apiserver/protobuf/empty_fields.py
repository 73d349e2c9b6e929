"""Empty fields, which the real server does not keep where Go's structs cannot tell them from absent ones."""

from typing import Any

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.protobuf.messages import Field, fields_by_name, messages


def without_empty_fields(message: str, item: JsonObject) -> JsonObject:
    """The object of a message without `false`, 0, "", [] and {} where Go's `omitempty` leaves them out."""
    fields = fields_by_name(message)
    kept: JsonObject = {}
    for name, value in item.items():
        field = fields.get(name)
        if field is None:
            kept[name] = value
        elif value or not field.omits_empty:
            kept[name] = _inside(field, value)
    return kept


def _inside(field: Field, value: Any) -> Any:
    if field.type not in messages():
        return value
    if isinstance(value, list):
        return [_inside(field, each) for each in value]
    return without_empty_fields(field.type, value) if isinstance(value, dict) else value
