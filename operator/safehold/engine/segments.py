"""Index segments as bytes: building one, and finding ids in one that is read in pieces (docs/format.md, section 7)."""

import struct
from array import array
from bisect import bisect_right
from dataclasses import dataclass

from safehold.engine.chunks import ID_BYTES
from safehold.engine.packs import FinishedPack
from safehold.engine.sealing import HEADER_BYTES, TAG_BYTES, Header, ObjectType, SealedObject
from safehold.errors import IntegrityError

_COUNTS = struct.Struct(">III")
_PACK = struct.Struct(">32s16sQ")
_ENTRY = struct.Struct(">32sIIIII")
_WORDS = struct.Struct(">8I")
ENTRY_BYTES = _ENTRY.size
_FENCE_BYTES = 8
_FILTER_BYTES_PER_ENTRY = 2
"""With 8 bits set per id, one of 1,700 unknown ids passes; so 100 segments cost a block for every 17th new chunk."""
_SMALLEST_FILTER_BYTES = 64


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack as a segment names it."""

    id: bytes
    key_set: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk is."""

    pack: PackRow
    frame: int
    offset: int
    stored_bytes: int
    length: int


def segment_frames(packs: list[FinishedPack], block_entries: int) -> list[bytes]:
    """The plain frames of a segment over these packs: the front, then the blocks."""
    entries = sorted(
        _ENTRY.pack(chunk.id, number, chunk.frame, chunk.offset, chunk.stored_bytes, chunk.length)
        for number, pack in enumerate(packs)
        for chunk in pack.chunks
    )
    blocks = [b"".join(entries[i : i + block_entries]) for i in range(0, len(entries), block_entries)]
    bloom = _filter(entries)
    front = b"".join(
        [
            _COUNTS.pack(len(packs), len(entries), len(bloom)),
            *(_PACK.pack(pack.id, pack.key_set, pack.length) for pack in packs),
            *(block[:_FENCE_BYTES] for block in blocks),
            bloom,
        ]
    )
    return [front, *blocks]


def _filter(entries: list[bytes]) -> bytearray:
    size = _SMALLEST_FILTER_BYTES
    while size < len(entries) * _FILTER_BYTES_PER_ENTRY:
        size *= 2
    bloom, mask = bytearray(size), size * 8 - 1
    for entry in entries:
        for word in _WORDS.unpack_from(entry):
            bit = word & mask
            bloom[bit >> 3] |= 1 << (bit & 7)
    return bloom


def words_of(chunk_id: bytes) -> tuple[int, ...]:
    """What `Segment.may_hold` wants; computed once for all segments."""
    return _WORDS.unpack(chunk_id)


class Segment:
    """The front of one segment: answers whether it may hold an id, and in which block."""

    def __init__(self, sealed: SealedObject, front: bytes, block_entries: int) -> None:
        self.name = sealed.name
        self._sealed = sealed
        self._block_entries = block_entries
        packs, self.entries, filter_bytes = _COUNTS.unpack_from(front)
        blocks = -(-self.entries // block_entries)
        fences_at = _COUNTS.size + packs * _PACK.size
        filter_at = fences_at + blocks * _FENCE_BYTES
        if len(front) != filter_at + filter_bytes or filter_bytes & (filter_bytes - 1):
            raise IntegrityError(f"{self.name} has a front that does not add up", found=f"{len(front)} bytes")
        self.packs = [PackRow(*row) for row in _PACK.iter_unpack(front[_COUNTS.size : fences_at])]
        self._fences = array("Q", (f[0] for f in struct.iter_unpack(">Q", front[fences_at:filter_at])))
        self._filter = front[filter_at:]
        self._mask = filter_bytes * 8 - 1

    def may_hold(self, words: tuple[int, ...]) -> bool:
        """False: the id of these words is not in the segment. True: look."""
        bloom, mask = self._filter, self._mask
        for word in words:  # noqa: SIM110 - a generator inside all() takes three times as long, and this is asked most
            if not bloom[(word & mask) >> 3] >> (word & 7) & 1:
                return False
        return True

    def blocks_of(self, chunk_id: bytes) -> range:
        """The blocks that may hold the id: one, or two where ids share their first 8 bytes with a fence."""
        prefix = int.from_bytes(chunk_id[:_FENCE_BYTES])
        last = bisect_right(self._fences, prefix) - 1
        first = last
        while first > 0 and self._fences[first] == prefix:
            first -= 1
        return range(max(first, 0), last + 1)

    def place_of(self, block: int) -> tuple[int, int]:
        """Offset and stored length of a block in the object."""
        full = self._block_entries * ENTRY_BYTES + TAG_BYTES
        entries = min(self._block_entries, self.entries - block * self._block_entries)
        start = HEADER_BYTES + self._sealed.header.first_frame_bytes
        return start + block * full, entries * ENTRY_BYTES + TAG_BYTES

    def open_block(self, block: int, sealed: bytes) -> bytes:
        """A block's plain entries."""
        return self._sealed.open_frame(block + 1, sealed)

    def find(self, block: bytes, chunk_id: bytes) -> Location | None:
        """The entry of the id in a block's plain bytes."""
        low, high = 0, len(block) // ENTRY_BYTES
        while low < high:
            middle = (low + high) // 2
            if block[middle * ENTRY_BYTES : middle * ENTRY_BYTES + ID_BYTES] < chunk_id:
                low = middle + 1
            else:
                high = middle
        at = low * ENTRY_BYTES
        if block[at : at + ID_BYTES] != chunk_id:
            return None
        _, pack, frame, offset, stored, length = _ENTRY.unpack_from(block, at)
        return Location(self.packs[pack], frame, offset, stored, length)


def parse_header(name: str, data: bytes) -> Header:
    """The header of a segment."""
    return Header.parse(name, data, ObjectType.SEGMENT)
