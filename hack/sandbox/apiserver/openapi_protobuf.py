"""The OpenAPI v2 document as protobuf, the only form in which kubectl reads it.

Field numbers are those of gnostic's OpenAPIv2.proto; written is what clients look at: the models and their extensions.
"""

from collections.abc import Iterable
from typing import Any

from sandbox.apiserver.objects import JsonObject, encode_json
from sandbox.apiserver.protobuf.wire import write_field

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED_TYPES = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""How clients name the form; the older name is no valid media type, so that no answer may carry it."""
_SWAGGER, _INFO, _DEFINITIONS = 1, 2, 9
_TEXTS = {"$ref": 1, "format": 2, "description": 4}
_REQUIRED, _ADDITIONAL_PROPERTIES, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 19, 21, 22, 23, 25, 31
_FIRST, _NAME, _VALUE = 1, 1, 2


def encode_document(document: JsonObject) -> bytes:
    """The protobuf form of a v2 document."""
    info = document["info"]
    return b"".join(
        (
            write_field(_SWAGGER, document["swagger"]),
            write_field(_INFO, write_field(1, info["title"]) + write_field(2, info["version"])),
            write_field(_DEFINITIONS, _named_schemas(document["definitions"])),
        )
    )


def _named_schemas(schemas: JsonObject) -> bytes:
    return b"".join(write_field(_FIRST, _named(name, _schema(schema))) for name, schema in schemas.items())


def _named(name: str, value: bytes) -> bytes:
    return write_field(_NAME, name) + write_field(_VALUE, value)


def _schema(schema: JsonObject) -> bytes:
    return b"".join(_schema_fields(schema))


def _schema_fields(schema: JsonObject) -> Iterable[bytes]:
    for name, number in _TEXTS.items():
        if name in schema:
            yield write_field(number, schema[name])
    for name in schema.get("required") or ():
        yield write_field(_REQUIRED, name)
    if "additionalProperties" in schema:
        yield write_field(_ADDITIONAL_PROPERTIES, _additional(schema["additionalProperties"]))
    if "type" in schema:
        yield write_field(_TYPE, write_field(_FIRST, schema["type"]))
    if "items" in schema:
        yield write_field(_ITEMS, write_field(_FIRST, _schema(schema["items"])))
    if "properties" in schema:
        yield write_field(_PROPERTIES, _named_schemas(schema["properties"]))
    for name, value in schema.items():
        if name.startswith("x-"):
            yield write_field(_EXTENSION, _named(name, write_field(_VALUE, encode_json(value))))


def _additional(value: Any) -> bytes:
    return write_field(2, value) if isinstance(value, bool) else write_field(1, _schema(value))
