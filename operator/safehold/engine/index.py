"""The index of a key domain: which chunks exist and where, with bounded memory (docs/format.md, section 7)."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from safehold.engine import names
from safehold.engine.geometry import MIB, Geometry
from safehold.engine.keys import KeyRing
from safehold.engine.packs import FinishedPack
from safehold.engine.sealing import HEADER_BYTES, ObjectType, SealedObject, new_salt, seal_object
from safehold.engine.segments import ENTRY_BYTES, Location, Segment, parse_header, segment_frames, words_of
from safehold.engine.store.base import ObjectEntry, ObjectStore
from safehold.errors import IntegrityError

_FIRST_READ_BYTES = 256 * 1024
"""Holds the front of every segment of 65,536 entries, and small segments whole."""
_CACHED_BLOCK_BYTES = 24 * MIB
_READERS = 8


class Index:
    """Finds chunks in the segments of a domain and in what this run has packed. Safe to ask from several threads.

    The segments' fronts (about 2 bytes per chunk of the domain) are loaded when the first id has to be looked up; a run
    that finds nothing new never does.
    """

    def __init__(self, store: ObjectStore, keys: KeyRing, geometry: Geometry) -> None:
        self._store = store
        self._keys = keys
        self._geometry = geometry
        self._loading = threading.Lock()
        self._segments: list[Segment] | None = None
        self._blocks = _BlockCache(_CACHED_BLOCK_BYTES // (geometry.block_entries * ENTRY_BYTES))
        self._in_packs: set[bytes] = set()
        self._waiting: list[FinishedPack] = []

    def claim(self, chunk_id: bytes) -> bool:
        """True for the first who wants to pack the id in this run. Called by the packing thread only."""
        if chunk_id in self._in_packs or self.locate([chunk_id]):
            return False
        self._in_packs.add(chunk_id)
        return True

    def known(self, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that need not be packed again."""
        wanted = set(chunk_ids)
        known = wanted & self._in_packs
        return known | self.locate(wanted - known).keys()

    def locate(self, chunk_ids: Collection[bytes]) -> dict[bytes, Location]:
        """Where those of the ids are that a segment names. Sorted batches cost least."""
        found: dict[bytes, Location] = {}
        missing = {chunk_id: words_of(chunk_id) for chunk_id in chunk_ids}
        for segment in self._loaded() if missing else ():
            candidates = [chunk_id for chunk_id, words in missing.items() if segment.may_hold(words)]
            if candidates:
                for chunk_id, location in self._search(segment, candidates):
                    found[chunk_id] = location
                    del missing[chunk_id]
                if not missing:
                    break
        return found

    def add(self, packs: list[FinishedPack]) -> None:
        """Take packs that are in the store; writes a segment when enough have come."""
        for pack in packs:
            self._waiting.append(pack)
            entries = sum(len(waiting.chunks) for waiting in self._waiting)
            covered = sum(waiting.length for waiting in self._waiting)
            if entries >= self._geometry.segment_entries or covered >= self._geometry.segment_pack_bytes:
                self.flush()

    def flush(self) -> None:
        """Write a segment for the packs that no segment names yet."""
        if not self._waiting:
            return
        segment_id = new_salt()
        name = names.segment(self._keys.scope, segment_id)
        frames = segment_frames(self._waiting, self._geometry.block_entries)
        key_set = self._keys.current
        data = seal_object(key_set.data_key, key_set.id, ObjectType.SEGMENT, name, frames, salt=segment_id)
        self._store.put(name, data)
        segment = self._open(name, data[: HEADER_BYTES + len(frames[0]) + 16])
        with self._loading:
            if self._segments is not None:
                self._segments = [*self._segments, segment]
        # Only a loaded index would find the ids in the new segment; one that was not loaded lists it later.
        self._in_packs.difference_update(chunk.id for pack in self._waiting for chunk in pack.chunks)
        self._waiting.clear()

    def _loaded(self) -> list[Segment]:
        with self._loading:
            if self._segments is None:
                listed = list(self._store.list(names.segments(self._keys.scope)))
                with ThreadPoolExecutor(_READERS, thread_name_prefix="index") as readers:
                    self._segments = list(readers.map(self._load, listed))
            return self._segments

    def _load(self, entry: ObjectEntry) -> Segment:
        first = self._store.get_range(entry.name, 0, min(entry.size_bytes, _FIRST_READ_BYTES))
        wanted = HEADER_BYTES + parse_header(entry.name, first).first_frame_bytes
        if wanted > len(first):
            first += self._store.get_range(entry.name, len(first), wanted - len(first))
        return self._open(entry.name, first)

    def _open(self, name: str, data: bytes) -> Segment:
        header = parse_header(name, data)
        sealed = SealedObject(name, header, self._keys.data_key(header.key_set, name))
        front = sealed.open_frame(0, data[HEADER_BYTES : HEADER_BYTES + header.first_frame_bytes])
        return Segment(sealed, front, self._geometry.block_entries)

    def _search(self, segment: Segment, chunk_ids: list[bytes]) -> Iterator[tuple[bytes, Location]]:
        by_block: dict[int, list[bytes]] = defaultdict(list)
        for chunk_id in chunk_ids:
            for block in segment.blocks_of(chunk_id):
                by_block[block].append(chunk_id)
        for number, entries in self._read_blocks(segment, sorted(by_block)):
            for chunk_id in by_block[number]:
                location = segment.find(entries, chunk_id)
                if location:
                    yield chunk_id, location

    def _read_blocks(self, segment: Segment, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
        absent = []
        for number in numbers:
            block = self._blocks.get((segment.name, number))
            if block is None:
                absent.append(number)
            else:
                yield number, block
        # Neighbours are read with one request.
        for _, run in groupby(enumerate(absent), key=lambda pair: pair[1] - pair[0]):
            neighbours = [number for _, number in run]
            start = segment.place_of(neighbours[0])[0]
            last_at, last_bytes = segment.place_of(neighbours[-1])
            data = self._store.get_range(segment.name, start, last_at + last_bytes - start)
            if len(data) != last_at + last_bytes - start:
                raise IntegrityError(
                    f"{segment.name} is truncated", expected=last_at + last_bytes, found=start + len(data)
                )
            for number in neighbours:
                at, size = segment.place_of(number)
                block = segment.open_block(number, data[at - start : at - start + size])
                self._blocks.put((segment.name, number), block)
                yield number, block


class _BlockCache:
    """The blocks used last."""

    def __init__(self, blocks: int) -> None:
        self._limit = max(blocks, 1)
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> bytes | None:
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: tuple[str, int], block: bytes) -> None:
        with self._lock:
            self._blocks[key] = block
            while len(self._blocks) > self._limit:
                self._blocks.popitem(last=False)
