"""Protobuf's wire format: a message is a sequence of numbered values."""

import struct
from collections.abc import Iterator

WireValue = int | float | bytes
"""A varint as an unsigned number, a fixed-size value as a float, all else as bytes."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: "<d", _FIXED32: "<f"}


def read_fields(message: bytes) -> Iterator[tuple[int, WireValue]]:
    """The numbers and values of a message; ValueError if it is none."""
    offset = 0
    while offset < len(message):
        tag, offset = _varint(message, offset)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, offset = _varint(message, offset)
            yield number, value
        elif wire_type == _BYTES:
            size, offset = _varint(message, offset)
            yield number, _slice(message, offset, size)
            offset += size
        elif wire_type in _FIXED:
            size = struct.calcsize(_FIXED[wire_type])
            yield number, struct.unpack(_FIXED[wire_type], _slice(message, offset, size))[0]
            offset += size
        else:
            raise ValueError(f"wire type {wire_type} of field {number} is not known")


def write_field(number: int, value: str | bytes | bool) -> bytes:
    """A numbered value: texts and messages with their length, booleans as varints."""
    if isinstance(value, bool):
        return _written_varint(number << 3 | _VARINT) + _written_varint(int(value))
    content = value.encode() if isinstance(value, str) else value
    return _written_varint(number << 3 | _BYTES) + _written_varint(len(content)) + content


def _written_varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def _slice(message: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(message):
        raise ValueError(f"a value has {size} bytes, and {len(message) - offset} are left of its message")
    return message[offset : offset + size]


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if offset >= len(message) or shift > 63:
            raise ValueError("a number in a protobuf message does not end")
        byte = message[offset]
        number |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return number, offset


def signed(number: int) -> int:
    """A varint as a signed number of 64 bits."""
    return number - (1 << 64) if number >> 63 else number
