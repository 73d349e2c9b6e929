"""From a protobuf body to the JSON object that it stands for, by the field table of the API types."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sandbox.apiserver.objects import JsonObject, format_micro_time, format_time
from sandbox.apiserver.protobuf.messages import message_of, messages
from sandbox.apiserver.protobuf.wire import WireValue, read_fields, signed

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


def decode_object(body: bytes) -> JsonObject:
    """The object in an envelope of Kubernetes' protobuf encoding; ValueError if it is none, or of an unknown type."""
    if not body.startswith(_MAGIC):
        raise ValueError("the body does not begin with the magic of Kubernetes' protobuf encoding")
    envelope = dict(read_fields(body[len(_MAGIC) :]))
    type_meta = {number: _text(value) for number, value in read_fields(_bytes(envelope.get(1, b"")))}
    api_version, kind = type_meta.get(1, ""), type_meta.get(2, "")
    message = message_of(api_version, kind)
    if message is None:
        raise ValueError(f"no protobuf form of {kind} in {api_version} is known; send JSON")
    return {"apiVersion": api_version, "kind": kind, **_decode_message(message, _bytes(envelope.get(2, b"")))}


def _decode_message(message: str, body: bytes) -> JsonObject:
    fields = messages()[message]
    item: JsonObject = {}
    for number, value in read_fields(body):
        field = fields.get(number)
        if field is None:
            continue
        decoded = _decode_value(field.type, value)
        if not field.name:
            item.update(decoded)
        elif field.type.startswith("map "):
            item.setdefault(field.name, {}).update(decoded)
        elif field.repeated:
            item.setdefault(field.name, []).append(decoded)
        elif decoded not in ("", None):
            # Go writes the empty text and the zero time where JSON has nothing.
            item[field.name] = decoded
    return item


def _decode_value(kind: str, value: WireValue) -> Any:
    if kind.startswith("map "):
        return _decode_entry(kind.removeprefix("map "), _bytes(value))
    decoder = _SCALARS.get(kind)
    return decoder(value) if decoder else _decode_message(kind, _bytes(value))


def _decode_entry(kind: str, entry: bytes) -> JsonObject:
    parts = dict(read_fields(entry))
    empty: Any = "" if kind in ("string", "bytes") else {}
    return {_text(parts.get(1, b"")): _decode_value(kind, parts[2]) if 2 in parts else empty}


def _bytes(value: WireValue) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"expected bytes in a protobuf message, found {value!r}")  # noqa: TRY004 - the body's fault
    return value


def _text(value: WireValue) -> str:
    return _bytes(value).decode()


def _integer(value: WireValue) -> int:
    return signed(int(value)) if not isinstance(value, bytes) else 0


def _moment(value: WireValue) -> datetime | None:
    parts = dict(read_fields(_bytes(value)))
    seconds = _integer(parts.get(1, 0))
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=_integer(parts.get(2, 0)) // 1000)


def _time(value: WireValue) -> str | None:
    moment = _moment(value)
    return format_time(moment) if moment else None


def _micro_time(value: WireValue) -> str | None:
    moment = _moment(value)
    return format_micro_time(moment) if moment else None


def _quantity(value: WireValue) -> str:
    return _text(dict(read_fields(_bytes(value))).get(1, b"0"))


def _int_or_string(value: WireValue) -> int | str:
    parts = dict(read_fields(_bytes(value)))
    return _text(parts.get(3, b"")) if _integer(parts.get(1, 0)) == 1 else _integer(parts.get(2, 0))


def _raw(value: WireValue) -> Any:
    raw = dict(read_fields(_bytes(value))).get(1, b"")
    return json.loads(_bytes(raw)) if raw else None


def _items(value: WireValue) -> list[str]:
    return [_text(item) for _, item in read_fields(_bytes(value))]


_SCALARS: dict[str, Callable[[WireValue], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "int32": _integer,
    "int64": _integer,
    "bool": bool,
    "double": float,
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Raw": _raw,
    "Items": _items,
}
"""Scalar types, and messages that JSON writes as one value."""
