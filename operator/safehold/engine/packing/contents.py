"""A pack's table of contents: what tells leftovers from damage, and makes a lost index segment again."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from safehold.engine import names
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import HEADER_BYTES, Header, ObjectType, object_cipher
from safehold.engine.packing.chunks import ID_BYTES
from safehold.engine.packing.frames import Frame, FrameKind, open_frame
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError

_FRAME_ROW = struct.Struct(">IHH")
_CHUNK_ROW = struct.Struct(f">{ID_BYTES}sI")
_TRAILER = struct.Struct(">IIQ8s")
_TRAILER_MAGIC = b"SAFEHEND"
TRAILER_BYTES = _TRAILER.size
_LIKELY_TAIL_BYTES = 128 * 1024
"""Holds the table and the trailer of most packs, so that they are read with one request."""


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """Where one chunk is in its pack: the frame that holds it, and the frame's place."""

    id: bytes
    frame: int
    offset: int
    stored_bytes: int
    length: int
    kind: FrameKind = FrameKind.CHUNKS


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """A pack that is in the store."""

    id: bytes
    key_set: bytes
    length: int
    chunks: list[PackedChunk]
    lock_until: int = 0
    """Seconds of Unix time until which the store refuses to delete the pack; 0 without a lock."""


@dataclass(slots=True)
class Contents:
    """The table while its pack grows."""

    frames: int = 0
    end: int = HEADER_BYTES
    """Where the next frame begins."""
    chunks: list[PackedChunk] = field(default_factory=list)
    _rows: bytearray = field(default_factory=bytearray)

    def add(self, frame: Frame, stored_bytes: int) -> None:
        """Take the next frame."""
        self._take(frame.kind, stored_bytes, frame.chunks)
        self._rows += _FRAME_ROW.pack(stored_bytes, frame.kind, len(frame.chunks))
        for each in frame.chunks:
            self._rows += _CHUNK_ROW.pack(*each)

    def frame(self) -> Frame:
        """The table as the pack's last frame."""
        return Frame(FrameKind.CONTENTS, (), bytes(self._rows))

    @classmethod
    def parse(cls, rows: bytes) -> "Contents":
        """The table from its frame's plain bytes, which are as they were written: the tag says so."""
        table, at = cls(), 0
        while at < len(rows):
            stored_bytes, kind, count = _FRAME_ROW.unpack_from(rows, at)
            at += _FRAME_ROW.size
            end = at + count * _CHUNK_ROW.size
            table._take(FrameKind(kind), stored_bytes, _CHUNK_ROW.iter_unpack(rows[at:end]))
            at = end
        return table

    def _take(self, kind: FrameKind, stored_bytes: int, chunks: Iterable[tuple[bytes, int]]) -> None:
        for chunk_id, length in chunks:
            self.chunks.append(PackedChunk(chunk_id, self.frames, self.end, stored_bytes, length, kind))
        self.frames += 1
        self.end += stored_bytes


def trailer(frames: int, contents_bytes: int, before: int) -> bytes:
    """The end of a pack of `frames` frames, whose table takes `contents_bytes` and ends at `before`."""
    return _TRAILER.pack(frames, contents_bytes, before + TRAILER_BYTES, _TRAILER_MAGIC)


def read_contents(
    store: ObjectStore, keys: KeyRing, pack_id: bytes, size_bytes: int, key_set: bytes | None = None
) -> FinishedPack:
    """What a pack of this stored size holds: one or two requests, and one more where nobody tells its key set.

    IntegrityError if it is cut off, has grown, or its table does not open; ObjectMissingError if there is none.
    """
    name = names.pack(keys.scope, pack_id)
    if key_set is None:
        header = Header.parse(name, store.get_range(name, 0, HEADER_BYTES), ObjectType.PACK)
        if header != Header(type=ObjectType.PACK, key_set=header.key_set, salt=pack_id):
            raise IntegrityError(f"{name} has the header of another pack, or a damaged one", found=header.salt.hex())
        key_set = header.key_set
    start = max(HEADER_BYTES, size_bytes - _LIKELY_TAIL_BYTES)
    tail = store.get_range(name, start, size_bytes - start) if size_bytes > start else b""
    frames, table_bytes = _parse_trailer(name, tail, size_bytes)
    table_at = size_bytes - TRAILER_BYTES - table_bytes
    if table_at < start:
        tail = store.get_range(name, table_at, size_bytes - table_at)
        start = table_at
    cipher = object_cipher(keys.data_key(key_set, name), ObjectType.PACK, pack_id)
    table = Contents.parse(
        open_frame(cipher, frames, FrameKind.CONTENTS, tail[table_at - start : -TRAILER_BYTES], name)
    )
    if (table.frames, table.end) != (frames, table_at):
        raise IntegrityError(f"{name} does not add up", expected=f"frames up to {table_at}", found=table.end)
    return FinishedPack(pack_id, key_set, size_bytes, table.chunks)


def _parse_trailer(name: str, tail: bytes, size_bytes: int) -> tuple[int, int]:
    if len(tail) < TRAILER_BYTES:
        raise IntegrityError(f"{name} is truncated", expected=f"{HEADER_BYTES + TRAILER_BYTES} bytes or more")
    frames, table_bytes, length, magic = _TRAILER.unpack_from(tail, len(tail) - TRAILER_BYTES)
    if magic != _TRAILER_MAGIC or length != size_bytes or table_bytes > size_bytes - HEADER_BYTES - TRAILER_BYTES:
        raise IntegrityError(f"{name} is truncated or has grown", expected=f"a trailer for {size_bytes} bytes")
    return frames, table_bytes
