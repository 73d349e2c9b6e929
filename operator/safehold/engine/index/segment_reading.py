"""An open index segment: its front in memory, its filter in a file, its blocks read when they are asked for."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from sys import byteorder
from typing import Self

from safehold.engine.geometry import KIB, MIB, Geometry
from safehold.engine.index.block_cache import BlockCache
from safehold.engine.index.filters import FilterFile
from safehold.engine.index.segments import (
    FENCE_BYTES,
    FINGERPRINT_BYTES,
    FRONT_FRAME,
    PACK_ROW_BYTES,
    PAGE_BLOCKS,
    ROW_BYTES,
    TRAILER_BYTES,
    Front,
    Location,
    PackRow,
    SegmentEntry,
    location_at,
    parse_trailer,
)
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import HEADER_BYTES, SealedObject
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError

_FIRST_READ_BYTES = 256 * KIB
"""From the end: holds front and filter of a segment of 65,536 entries, and a segment of 4,600 entries whole."""
_BLOCKS_READ_BYTES = 4 * MIB
_GAP_BYTES = 128 * KIB
"""Between two blocks, read in vain rather than asking twice."""
_READERS = 8


@dataclass(frozen=True, slots=True)
class SegmentSource:
    """What opening segments takes, and what they share."""

    store: ObjectStore
    keys: KeyRing
    geometry: Geometry
    filters: FilterFile
    blocks: BlockCache


class Segment:
    """Finds ids in one segment. Safe to use from several threads."""

    def __init__(self, source: SegmentSource, entry: SegmentEntry, sealed: SealedObject, front: Front) -> None:
        self.entry = entry
        self.name = entry.name
        self._source = source
        self._sealed = sealed
        self._packs = front.packs
        self._fences = array("Q", front.fences)
        if byteorder == "little":
            self._fences.byteswap()
        self.layout = front.layout
        self.pack = lru_cache(maxsize=4096)(self._parse_pack)
        self._filter_start: int | None = None
        self._filtered_blocks = 0

    @classmethod
    def open(cls, source: SegmentSource, entry: SegmentEntry) -> Self:
        """Read a segment's end: one request, a second where its front is large. ObjectMissingError if it is gone."""
        start = max(0, entry.size_bytes - _FIRST_READ_BYTES)
        tail = source.store.get_range(entry.name, start, entry.size_bytes - start)
        header, front_bytes = parse_trailer(entry.name, tail, entry.size_bytes)
        front_at = entry.size_bytes - TRAILER_BYTES - front_bytes
        if front_at < start:
            tail = (
                _whole(source.store.get_range(entry.name, front_at, start - front_at), start - front_at, entry) + tail
            )
            start = front_at
        sealed = SealedObject(entry.name, header, source.keys.data_key(header.key_set, entry.name))
        plain = sealed.open_frame(FRONT_FRAME, tail[front_at - start : front_at - start + front_bytes])
        segment = cls(source, entry, sealed, Front.parse(entry.name, plain))
        if segment.layout.front_at != front_at:
            raise IntegrityError(
                f"{entry.name} has another length than its entries need",
                expected=segment.layout.front_at,
                found=front_at,
            )
        segment._take_tail(start, tail)
        return segment

    @property
    def entries(self) -> int:
        """How many chunks it lists."""
        return self.layout.entries

    @property
    def packs(self) -> Iterator[PackRow]:
        """All packs, in the order of their numbers."""
        return (PackRow.parse(self._packs, at) for at in range(0, len(self._packs), PACK_ROW_BYTES))

    @property
    def is_filtered(self) -> bool:
        """Whether `may_hold` answers without reading, for all ids."""
        return self._filtered_blocks >= self.layout.blocks

    def load_filter(self) -> None:
        """Read the filter into the filter file with one request."""
        page = self._filtered_blocks // PAGE_BLOCKS
        start = self.layout.page(page)[0]
        held = bytearray()
        length = self.layout.front_at - start
        sizes = [min(MIB, length - at) for at in range(0, length, MIB)]
        for piece in self._source.store.stream_range(self.name, start, sizes):
            held += piece
            page, taken = self._keep_pages(page, held)
            del held[:taken]
        if not self.is_filtered:
            raise _truncated(self.entry)

    def candidates(self, chunk_ids: Iterable[bytes], *, filtered: bool) -> dict[int, list[bytes]]:
        """The blocks that may hold ids, and which. `filtered`: only those that the loaded filter lets pass."""
        by_block: dict[int, list[bytes]] = {}
        fences = self._fences
        for chunk_id in chunk_ids:
            prefix = int.from_bytes(chunk_id[:FENCE_BYTES])
            block = bisect_right(fences, prefix) - 1
            while block >= 0:
                if not filtered or self._passes(block, chunk_id):
                    by_block.setdefault(block, []).append(chunk_id)
                if fences[block] != prefix:  # ids that begin like a fence may be in the block before it, too
                    break
                block -= 1
        return by_block

    def find(self, chunk_ids: Iterable[bytes], *, filtered: bool) -> dict[bytes, Location]:
        """Where those of the ids are that the segment lists."""
        by_block = self.candidates(chunk_ids, filtered=filtered)
        found = {}
        for number, block in self._read_blocks(sorted(by_block)):
            for chunk_id in by_block[number]:
                location = self._find_in(block, chunk_id)
                if location:
                    found[chunk_id] = location
        return found

    def rows(self, read_bytes: int) -> Iterator[bytes]:
        """All rows in the order of their ids, read `read_bytes` at a time."""
        step = max(1, read_bytes // self.layout.block(0)[1])
        for first in range(0, self.layout.blocks, step):
            numbers = range(first, min(first + step, self.layout.blocks))
            held = [self._source.blocks.get((self.name, number)) for number in numbers]
            blocks = [block for block in held if block is not None]
            if len(blocks) < len(numbers):
                blocks = [self._open_block(number, sealed) for number, sealed in self._fetch(numbers)]
            for block in blocks:
                for at in range(0, len(block), ROW_BYTES):
                    yield block[at : at + ROW_BYTES]

    def _parse_pack(self, number: int) -> PackRow:
        return PackRow.parse(self._packs, number * PACK_ROW_BYTES)

    def _find_in(self, block: bytes, chunk_id: bytes) -> Location | None:
        at = block.find(chunk_id)
        while at > 0 and at % ROW_BYTES:
            at = block.find(chunk_id, at + 1)
        if at < 0:
            return None
        return location_at(block, at, self.pack)

    def _passes(self, block: int, chunk_id: bytes) -> bool:
        if block >= self._filtered_blocks or self._filter_start is None:
            return False
        first = block * self.layout.block_entries
        entries = min(self.layout.block_entries, self.entries - first)
        return self._source.filters.holds(chunk_id, self._filter_start + first * FINGERPRINT_BYTES, entries)

    def _take_tail(self, start: int, tail: bytes) -> None:
        """Keep what the first read brought beside the front: the filter or all of the blocks, where they fit."""
        view = memoryview(tail)
        if self.layout.entries and self.layout.filter_at >= start:
            self._keep_pages(0, tail[self.layout.filter_at - start : self.layout.front_at - start])
        if start == 0:
            if tail[:HEADER_BYTES] != self._sealed.header.pack():
                raise IntegrityError(f"{self.name} is damaged", found="its header at the end differs")
            for number in range(self.layout.blocks):
                at, size = self.layout.block(number)
                self._source.blocks.put((self.name, number), self._open_block(number, view[at : at + size]))

    def _keep_pages(self, page: int, data: bytes | bytearray) -> tuple[int, int]:
        """Open the pages that are whole in `data`, from number `page` on; returns the next, and the bytes taken."""
        page_entries = PAGE_BLOCKS * self.layout.block_entries
        if self._filter_start is None:
            self._filter_start = self._source.filters.reserve(self.entries * FINGERPRINT_BYTES)
        taken = 0
        while page < self.layout.pages and taken + (size := self.layout.page(page)[1]) <= len(data):
            plain = self._sealed.open_frame(self.layout.page_frame(page), memoryview(data)[taken : taken + size])
            self._source.filters.write(plain, self._filter_start + page * page_entries * FINGERPRINT_BYTES)
            taken += size
            page += 1
            self._filtered_blocks = min(page * PAGE_BLOCKS, self.layout.blocks)
        return page, taken

    def _read_blocks(self, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
        absent = []
        for number in numbers:
            block = self._source.blocks.get((self.name, number))
            if block is None:
                absent.append(number)
            else:
                yield number, block
        groups = self._neighbours(absent)
        if len(groups) < 2:
            for group in groups:
                yield from self._fetch_and_keep(group)
            return
        with ThreadPoolExecutor(min(_READERS, len(groups)), thread_name_prefix="index") as readers:
            for some in (groups[at : at + _READERS] for at in range(0, len(groups), _READERS)):
                for opened in readers.map(self._fetch_and_keep, some):
                    yield from opened

    def _neighbours(self, numbers: list[int]) -> list[list[int]]:
        """The numbers in groups that are worth one request each."""
        groups: list[list[int]] = []
        for number in numbers:
            at, size = self.layout.block(number)
            if groups:
                first_at = self.layout.block(groups[-1][0])[0]
                last_at, last_bytes = self.layout.block(groups[-1][-1])
                if at - last_at - last_bytes <= _GAP_BYTES and at + size - first_at <= _BLOCKS_READ_BYTES:
                    groups[-1].append(number)
                    continue
            groups.append([number])
        return groups

    def _fetch_and_keep(self, numbers: list[int]) -> list[tuple[int, bytes]]:
        """Also keeps what lies between them and has come along: ids are random, so it is asked for as likely as any."""
        blocks = []
        for number, sealed in self._fetch(range(numbers[0], numbers[-1] + 1)):
            is_wanted = number in numbers
            with nullcontext() if is_wanted else suppress(IntegrityError):
                block = self._open_block(number, sealed)
                self._source.blocks.put((self.name, number), block)
                if is_wanted:
                    blocks.append((number, block))
        return blocks

    def _fetch(self, numbers: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        start = self.layout.block(numbers[0])[0]
        last_at, last_bytes = self.layout.block(numbers[-1])
        wanted = last_at + last_bytes - start
        data = memoryview(_whole(self._source.store.get_range(self.name, start, wanted), wanted, self.entry))
        for number in numbers:
            at, size = self.layout.block(number)
            yield number, data[at - start : at - start + size]

    def _open_block(self, number: int, sealed: memoryview) -> bytes:
        return self._sealed.open_frame(number + 1, sealed)


def _whole(data: bytes, wanted: int, entry: SegmentEntry) -> bytes:
    if len(data) != wanted:
        raise _truncated(entry)
    return data


def _truncated(entry: SegmentEntry) -> IntegrityError:
    return IntegrityError(f"{entry.name} is truncated", expected=f"{entry.size_bytes} bytes", found="fewer")
