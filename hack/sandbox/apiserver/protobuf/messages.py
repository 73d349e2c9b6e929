"""The API's messages: numbers, names and types of their fields, as generated.proto and Go's structs have them."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

_TABLE = Path(__file__).with_name("fields.json")
"""Message → field number → a Field; made by generate.py."""

OBJECT_META = "meta.v1.ObjectMeta"


class Field(NamedTuple):
    """A field of a message. An inlined message has no name."""

    name: str
    type: str
    """A scalar, another message, or `map` and one of these."""
    repeated: bool
    omits_empty: bool
    """JSON has no empty value of it: `omitempty` at a field that is no pointer."""


@cache
def messages() -> dict[str, dict[int, Field]]:
    """Message → field number → field."""
    table = json.loads(_TABLE.read_text())
    return {
        message: {int(number): Field(*field) for number, field in fields.items()} for message, fields in table.items()
    }


def message_of(api_version: str, kind: str) -> str | None:
    """The message of a kind, or None if it has none."""
    group, _, version = api_version.rpartition("/")
    package = group.partition(".")[0] or "core"
    if kind == "DeleteOptions":
        package, version = "meta", "v1"
    name = f"{package}.{version}.{kind}"
    return name if name in messages() else None


@cache
def fields_by_name(message: str) -> dict[str, Field]:
    """JSON name → field, with the fields of inlined messages."""
    return dict(_named(message))


def _named(message: str) -> Iterator[tuple[str, Field]]:
    for field in messages()[message].values():
        if field.name:
            yield field.name, field
        else:
            yield from _named(field.type)
