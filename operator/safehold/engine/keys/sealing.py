"""Sealed objects: header, frames, associated data (docs/format.md, section 4)."""

import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine.keys.keyfile import derive
from safehold.errors import IntegrityError, UnknownFormatError

MAGIC = b"SAFEHOLD"
VERSION = 1
TAG_BYTES = 16
SALT_BYTES = 32
_HEADER = struct.Struct(">8sHHIQ16s32s")
HEADER_BYTES = _HEADER.size
_FRAME_NUMBER = struct.Struct(">I")


class ObjectType(IntEnum):
    """What a sealed object is; part of its key and of its associated data."""

    KEY_SET = 1
    PACK = 2
    SEGMENT = 4
    POINT = 5
    CONDEMNED = 7
    CHECKSUMS = 8
    HOLD = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first 72 bytes of a sealed object."""

    type: ObjectType
    key_set: bytes
    salt: bytes
    first_frame_bytes: int = 0
    length: int = 0

    def pack(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(MAGIC, VERSION, self.type, self.first_frame_bytes, self.length, self.key_set, self.salt)

    @classmethod
    def parse(cls, name: str, data: bytes, expected: ObjectType) -> "Header":
        """The header of the object `name`. UnknownFormatError for another version, IntegrityError for anything else."""
        if len(data) < HEADER_BYTES:
            raise IntegrityError(f"{name} is truncated", expected=f"{HEADER_BYTES} bytes or more", found=len(data))
        magic, version, kind, first, length, key_set, salt = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise IntegrityError(f"{name} is not a Safehold object", expected=MAGIC, found=magic)
        if version != VERSION:
            raise UnknownFormatError(
                f"{name} has an unknown format version",
                expected=VERSION,
                found=version,
                remedy="use the Safehold release that wrote it",
            )
        if kind != expected:
            raise IntegrityError(f"{name} is an object of another type", expected=int(expected), found=kind)
        return cls(type=expected, key_set=key_set, salt=salt, first_frame_bytes=first, length=length)


def new_salt() -> bytes:
    """32 random bytes: an object's own key follows from them, so they are never used for a second object."""
    return secrets.token_bytes(SALT_BYTES)


def object_cipher(data_key: bytes, object_type: ObjectType, salt: bytes) -> AESGCM:
    """The cipher of one object."""
    return AESGCM(derive(data_key, salt=salt, info=b"safehold/1/object/" + struct.pack(">H", object_type)))


def nonce(frame: int) -> bytes:
    """The nonce of an object's n-th frame."""
    return frame.to_bytes(12)


def seal_object(
    data_key: bytes, key_set: bytes, object_type: ObjectType, name: str, frames: list[bytes], *, salt: bytes
) -> bytes:
    """A whole object of one or more frames, bound to its name."""
    stored = [len(frame) + TAG_BYTES for frame in frames]
    header = Header(
        type=object_type,
        key_set=key_set,
        salt=salt,
        first_frame_bytes=stored[0],
        length=HEADER_BYTES + sum(stored),
    ).pack()
    cipher = object_cipher(data_key, object_type, salt)
    sealed = [cipher.encrypt(nonce(n), frame, _bound(header, name, n)) for n, frame in enumerate(frames)]
    return b"".join([header, *sealed])


class SealedObject:
    """Seals and opens an object's frames, in any order."""

    def __init__(self, name: str, header: Header, data_key: bytes) -> None:
        self.name = name
        self.header = header
        self._packed = header.pack()
        self._cipher = object_cipher(data_key, header.type, header.salt)

    def seal_frame(self, frame: int, plain: bytes) -> bytes:
        """The frame's sealed bytes. The caller seals each frame number of an object once."""
        return self._cipher.encrypt(nonce(frame), plain, _bound(self._packed, self.name, frame))

    def open_frame(self, frame: int, sealed: bytes | memoryview) -> bytes:
        """The frame's plain bytes; IntegrityError names the object if a single bit differs."""
        try:
            return self._cipher.decrypt(nonce(frame), sealed, _bound(self._packed, self.name, frame))
        except InvalidTag:
            raise IntegrityError(
                f"{self.name} is damaged or is not what its name says", found=f"frame {frame} does not open"
            ) from None


def open_single(name: str, data: bytes, data_key: bytes, expected: ObjectType) -> bytes:
    """The payload of an object of one frame, its length checked."""
    header = Header.parse(name, data, expected)
    check_length(name, header, data)
    return SealedObject(name, header, data_key).open_frame(0, data[HEADER_BYTES:])


def check_length(name: str, header: Header, data: bytes) -> None:
    """IntegrityError unless a whole object is as long as its header says."""
    if len(data) != header.length:
        raise IntegrityError(f"{name} is truncated or has grown", expected=f"{header.length} bytes", found=len(data))


def _bound(header: bytes, name: str, frame: int) -> bytes:
    return header + name.encode() + _FRAME_NUMBER.pack(frame)
