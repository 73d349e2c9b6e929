"""Index segments as bytes: rows of packs and chunks, the front that leads to them (docs/format.md, section 7)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from safehold.engine.keys.sealing import HEADER_BYTES, TAG_BYTES, Header, ObjectType
from safehold.engine.packing.contents import FinishedPack
from safehold.errors import IntegrityError

_COUNTS = struct.Struct(">IIQ")
_PACK = struct.Struct(">32s16sQQI")
_ROW = struct.Struct(">32sIIIII")
_TRAILER = struct.Struct(">QQ8s")
_TRAILER_MAGIC = b"SAFEHEND"
PACK_ROW_BYTES = _PACK.size
ROW_BYTES = _ROW.size
PACK_NUMBER = slice(32, 36)
"""Where a row tells its pack: the pack's place in the front."""
FENCE_BYTES = 8
FINGERPRINT = slice(8, 11)
"""What the filter keeps of an id: bytes that fences do not tell. Of 65,000 unknown ids one passes a block of 256."""
FINGERPRINT_BYTES = 3
PAGE_BLOCKS = 64
"""Blocks whose fingerprints make one page of the filter: 48 KiB."""
TRAILER_BYTES = HEADER_BYTES + _TRAILER.size
FRONT_FRAME = 0


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as listings and manifests tell it: enough to read its end."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack as a segment names it. `lock_until` in seconds of Unix time, 0 without a lock.

    `chunks` are those that the segment lists at this pack: fewer than the pack holds, where others hold them as well.
    """

    id: bytes
    key_set: bytes
    length: int
    lock_until: int
    chunks: int

    def packed(self) -> bytes:
        """The row's bytes."""
        return _PACK.pack(self.id, self.key_set, self.length, self.lock_until, self.chunks)

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> "PackRow":
        """The row at `offset`."""
        return cls(*_PACK.unpack_from(data, offset))

    @classmethod
    def of(cls, pack: FinishedPack) -> "PackRow":
        """What the index keeps of a pack that is in the store."""
        return cls(pack.id, pack.key_set, pack.length, pack.lock_until, len(pack.chunks))


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk is."""

    pack: PackRow
    frame: int
    offset: int
    stored_bytes: int
    length: int


class ChunkRow(NamedTuple):
    """One chunk as a segment keeps it; `pack` is the pack's place in the front."""

    id: bytes
    pack: int
    frame: int
    offset: int
    stored_bytes: int
    length: int

    def packed(self) -> bytes:
        """The row's bytes; they sort as their ids do."""
        return _ROW.pack(*self)

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> "ChunkRow":
        """The row at `offset`."""
        return cls(*_ROW.unpack_from(data, offset))


def location_at(rows: bytes, offset: int, pack: Callable[[int], PackRow]) -> Location:
    """Where the chunk is whose row begins at `offset`; `pack` tells the packs by their places in the front."""
    _, number, frame, at, stored_bytes, length = _ROW.unpack_from(rows, offset)
    return Location(pack(number), frame, at, stored_bytes, length)


def rows_of(packs: list[FinishedPack]) -> list[bytes]:
    """The sorted rows of all chunks in these packs."""
    return sorted(
        _ROW.pack(chunk.id, number, chunk.frame, chunk.offset, chunk.stored_bytes, chunk.length)
        for number, pack in enumerate(packs)
        for chunk in pack.chunks
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a segment of so many entries are. Blocks come first, then the filter, then the front."""

    entries: int
    block_entries: int

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.entries // self.block_entries)

    @property
    def pages(self) -> int:
        """Number of pages of the filter."""
        return -(-self.blocks // PAGE_BLOCKS)

    @property
    def filter_at(self) -> int:
        """Offset of the filter's first page."""
        return HEADER_BYTES + self.entries * ROW_BYTES + self.blocks * TAG_BYTES

    @property
    def front_at(self) -> int:
        """Offset of the front."""
        return self.filter_at + self.entries * FINGERPRINT_BYTES + self.pages * TAG_BYTES

    def block(self, number: int) -> tuple[int, int]:
        """Offset and stored length of a block. Its frame's number is `number + 1`."""
        return self._frame(HEADER_BYTES, number, self.block_entries, ROW_BYTES)

    def page(self, number: int) -> tuple[int, int]:
        """Offset and stored length of a page of the filter."""
        return self._frame(self.filter_at, number, PAGE_BLOCKS * self.block_entries, FINGERPRINT_BYTES)

    def page_frame(self, number: int) -> int:
        """The number of the frame that a page of the filter is."""
        return self.blocks + 1 + number

    def _frame(self, start: int, number: int, entries: int, size: int) -> tuple[int, int]:
        rest = min(entries, self.entries - number * entries)
        return start + number * (entries * size + TAG_BYTES), rest * size + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Front:
    """What is held of an open segment: its packs, and the first bytes of each block's first id, as they are stored."""

    layout: Layout
    packs: bytes
    fences: bytes

    def packed(self) -> bytes:
        """The front's bytes."""
        counts = _COUNTS.pack(len(self.packs) // _PACK.size, self.layout.block_entries, self.layout.entries)
        return counts + self.packs + self.fences

    @classmethod
    def parse(cls, name: str, data: bytes) -> "Front":
        """The front of the segment `name`; IntegrityError if its counts do not add up."""
        packs, block_entries, entries = _COUNTS.unpack_from(data)
        layout = Layout(entries, block_entries)
        fences_at = _COUNTS.size + packs * _PACK.size
        if block_entries == 0 or len(data) != fences_at + layout.blocks * FENCE_BYTES:
            raise IntegrityError(f"{name} has a front that does not add up", found=f"{len(data)} bytes")
        return cls(layout, data[_COUNTS.size : fences_at], data[fences_at:])


def pack_trailer(header: bytes, length: int, front_bytes: int) -> bytes:
    """The end of a segment of `length` bytes: its header again, so that reading the end is enough to open it."""
    return header + _TRAILER.pack(length, front_bytes, _TRAILER_MAGIC)


def parse_trailer(name: str, tail: bytes, size_bytes: int) -> tuple[Header, int]:
    """Header and stored length of the front, from the last bytes of a segment that was listed with `size_bytes`."""
    if len(tail) < TRAILER_BYTES:
        raise IntegrityError(f"{name} is truncated", expected=f"{size_bytes} bytes", found="its end is missing")
    header = Header.parse(name, tail[-TRAILER_BYTES:], ObjectType.SEGMENT)
    length, front_bytes, magic = _TRAILER.unpack(tail[-_TRAILER.size :])
    if length != size_bytes or magic != _TRAILER_MAGIC:
        raise IntegrityError(f"{name} is truncated or has grown", expected=f"{size_bytes} bytes", found=length)
    return header, front_bytes
