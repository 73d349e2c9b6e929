"""JSON documents as sealed objects: one frame of zstd each, the first readable alone (docs/format.md, section 4)."""

import zstandard

from safehold.engine.geometry import KIB, MIB
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import (
    HEADER_BYTES,
    Header,
    ObjectType,
    SealedObject,
    check_length,
    new_salt,
    seal_object,
)
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError

_FIRST_READ_BYTES = 16 * KIB
"""Holds the manifest of a VM with some dozen disks; a larger one costs a second request."""
_LARGEST_PAYLOAD_BYTES = 64 * MIB
"""More than any document: bounds what a forged object can make us hold."""


def seal_documents(keys: KeyRing, object_type: ObjectType, name: str, documents: list[bytes]) -> bytes:
    """The object of one or two documents, under a salt of its own."""
    frames = [zstandard.ZstdCompressor().compress(document) for document in documents]
    current = keys.current
    return seal_object(current.data_key, current.id, object_type, name, frames, salt=new_salt())


def read_documents(store: ObjectStore, keys: KeyRing, object_type: ObjectType, name: str) -> list[bytes]:
    """All documents of the object; ObjectMissingError if there is none, IntegrityError if it is not whole."""
    data = store.get(name)
    header = Header.parse(name, data, object_type)
    check_length(name, header, data)
    middle = HEADER_BYTES + header.first_frame_bytes
    sealed = _opener(keys, name, header)
    stored = [data[HEADER_BYTES:middle]] + ([data[middle:]] if len(data) > middle else [])
    return [_payload(name, sealed.open_frame(number, frame)) for number, frame in enumerate(stored)]


def read_first_document(store: ObjectStore, keys: KeyRing, object_type: ObjectType, name: str) -> bytes:
    """The first document alone, by range: whoever lists does not load what follows it."""
    data = store.get_range(name, 0, _FIRST_READ_BYTES)
    header = Header.parse(name, data, object_type)
    end = HEADER_BYTES + header.first_frame_bytes
    if len(data) == _FIRST_READ_BYTES < end <= header.length:
        data += store.get_range(name, _FIRST_READ_BYTES, end - _FIRST_READ_BYTES)
    if len(data) < end:
        raise IntegrityError(f"{name} is truncated", expected=f"{header.length} bytes", found=len(data))
    return _payload(name, _opener(keys, name, header).open_frame(0, data[HEADER_BYTES:end]))


def _opener(keys: KeyRing, name: str, header: Header) -> SealedObject:
    return SealedObject(name, header, keys.data_key(header.key_set, name))


def _payload(name: str, frame: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= _LARGEST_PAYLOAD_BYTES:
            raise IntegrityError(f"{name} has an impossible size", found=size)
        payload: bytes = zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as problem:
        raise IntegrityError(f"{name} does not decompress", found=str(problem)) from problem
    return payload
