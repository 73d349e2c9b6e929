"""Merging segments into one, row by row, in flat memory."""

from collections.abc import Collection, Iterator, Sequence
from heapq import merge

from safehold.engine.chunks import ID_BYTES
from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segment_writing import write_segment
from safehold.engine.index.segments import PACK_NUMBER, PackRow
from safehold.engine.store.base import ObjectEntry

_NUMBER_BYTES = PACK_NUMBER.stop - PACK_NUMBER.start


def worth_merging(entries: Collection[ObjectEntry], most: int) -> list[ObjectEntry]:
    """The smallest segments, so that merged into one at most `most` remain; none while there are no more than that.

    A segment that is no larger than all smaller ones together goes with them: so each row is rewritten seldom.
    """
    ordered = sorted(entries, key=lambda entry: (entry.size_bytes, entry.name))
    if len(ordered) <= most:
        return []
    count = len(ordered) - most + 1
    taken = sum(entry.size_bytes for entry in ordered[:count])
    while count < len(ordered) and ordered[count].size_bytes <= taken:
        taken += ordered[count].size_bytes
        count += 1
    return ordered[:count]


def merge_segments(
    source: SegmentSource, segments: Sequence[Segment], name: str, *, gone: Collection[bytes] = ()
) -> ObjectEntry:
    """Write the segment `name` with all that these list, each id once, without the packs that are `gone`.

    Where an id has several places, the one with the latest lock counts: a point that needs that lock stays protected.
    Among those, the first segment's place counts for all its ids, so that the packs of the others die as a whole.
    """
    table = _PackTable(segments, frozenset(gone))
    streams = [table.ranked(segment) for segment in segments]
    packs: list[PackRow] = []
    return write_segment(
        source.store, source.keys, source.geometry, name, table.renumbered(merge(*streams), packs), packs
    )


class _PackTable:
    """The packs of several segments, ranked by preference. Ranks stand in the rows while these are merged."""

    def __init__(self, segments: Sequence[Segment], gone: frozenset[bytes]) -> None:
        known: dict[bytes, PackRow] = {}
        for segment in segments:
            for pack in segment.packs:
                if pack.id not in gone:  # a lock may have been extended since one of them was written
                    known[pack.id] = max(known.get(pack.id, pack), pack, key=lambda row: row.lock_until)
        ordered = sorted(known.values(), key=lambda pack: -pack.lock_until)
        self._packs = ordered
        self._ranks = {pack.id: rank.to_bytes(_NUMBER_BYTES) for rank, pack in enumerate(ordered)}

    def ranked(self, segment: Segment) -> Iterator[bytes]:
        """A segment's rows with the ranks of their packs in place of their numbers."""
        ranks = {
            number.to_bytes(_NUMBER_BYTES): self._ranks[pack.id]
            for number, pack in enumerate(segment.packs)
            if pack.id in self._ranks
        }
        for row in segment.rows():
            rank = ranks.get(row[PACK_NUMBER])
            if rank is not None:
                yield row[: PACK_NUMBER.start] + rank + row[PACK_NUMBER.stop :]

    def renumbered(self, ranked: Iterator[bytes], packs: list[PackRow]) -> Iterator[bytes]:
        """The first row of each id, with the number that its pack gets in `packs`; unused packs get none."""
        numbers: dict[bytes, bytes] = {}
        last = b""
        for row in ranked:
            chunk_id = row[:ID_BYTES]
            if chunk_id == last:
                continue
            last = chunk_id
            rank = row[PACK_NUMBER]
            number = numbers.get(rank)
            if number is None:
                number = numbers[rank] = len(packs).to_bytes(_NUMBER_BYTES)
                packs.append(self._packs[int.from_bytes(rank)])
            yield chunk_id + number + row[PACK_NUMBER.stop :]
