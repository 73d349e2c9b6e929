"""Chunks beside one that was found: a pack's own table of contents answers for all of its chunks at once.

Ids are spread over a segment at random, but neighbours in a volume are neighbours in a pack. In a large segment every
chunk is in another block; with the tables, a restore reads one block and one table for each pack.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segments import Location, PackRow
from safehold.engine.packing.contents import read_contents
from safehold.errors import IntegrityError, ObjectMissingError

LARGE_ENTRIES = 250_000
"""From here on a segment's blocks are more than all that are held in memory, and worth going around."""
_HELD_CHUNKS = 65_536
_PROBES = 8
"""Chunks that are looked up in blocks before the tables of their packs are read."""
_CREDIT = 64
"""Tables that are read in vain, in all, before it is given up."""
_READERS = 8


class Vicinity:
    """Finds ids in one large segment, by the tables of packs that the segment lists with all of their chunks.

    Only those: where a chunk is listed at another pack, that is where a point will find it, and what must be kept.
    """

    def __init__(self, source: SegmentSource, segment: Segment) -> None:
        self._source = source
        self._segment = segment
        self._lock = threading.Lock()
        self._places: dict[bytes, Location] = {}
        self._held: OrderedDict[bytes, list[bytes]] = OrderedDict()
        self._credit = _CREDIT

    def find(self, chunk_ids: Collection[bytes], *, filtered: bool) -> dict[bytes, Location]:
        """Where those of the ids are that the segment lists."""
        found: dict[bytes, Location] = {}
        missing = self._take_beside(chunk_ids, found)
        while missing and self._credit > 0:
            some, missing = missing[:_PROBES], missing[_PROBES:]
            here = self._segment.find(some, filtered=filtered)
            found |= here
            if not here:
                break
            self._read_tables({place.pack.id: place.pack for place in here.values()})
            missing = self._take_beside(missing, found)
        return found | self._segment.find(missing, filtered=filtered)

    def _take_beside(self, chunk_ids: Collection[bytes], found: dict[bytes, Location]) -> list[bytes]:
        """Move what the tables tell to `found`; returns the others."""
        before = len(found)
        missing = []
        with self._lock:
            for chunk_id in chunk_ids:
                place = self._places.get(chunk_id)
                if place is None:
                    missing.append(chunk_id)
                else:
                    found[chunk_id] = place
            self._credit = min(_CREDIT, self._credit + len(found) - before)
        return missing

    def _read_tables(self, packs: dict[bytes, PackRow]) -> None:
        with self._lock:
            wanted = [pack for pack_id, pack in packs.items() if pack_id not in self._held]
            self._credit -= len(wanted)
        if len(wanted) < 2:
            self._keep(map(self._read_table, wanted))
        else:
            with ThreadPoolExecutor(min(_READERS, len(wanted)), thread_name_prefix="vicinity") as readers:
                self._keep(readers.map(self._read_table, wanted))

    def _read_table(self, pack: PackRow) -> tuple[PackRow, dict[bytes, Location]]:
        try:
            finished = read_contents(self._source.store, self._source.keys, pack.id, pack.length, pack.key_set)
        except (IntegrityError, ObjectMissingError):  # the index tells the same, and reading chunks names the damage
            return pack, {}
        places = {
            chunk.id: Location(pack, chunk.frame, chunk.offset, chunk.stored_bytes, chunk.length)
            for chunk in finished.chunks
        }
        return pack, places if len(places) == pack.chunks else {}

    def _keep(self, tables: Iterable[tuple[PackRow, dict[bytes, Location]]]) -> None:
        for pack, places in tables:
            with self._lock:
                self._held[pack.id] = list(places)
                self._places |= places
                while len(self._places) > _HELD_CHUNKS and len(self._held) > 1:
                    for chunk_id in self._held.popitem(last=False)[1]:
                        self._places.pop(chunk_id, None)
