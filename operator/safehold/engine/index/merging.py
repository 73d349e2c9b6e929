"""Merging segments into one, row by row, in flat memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Protocol

from safehold.engine.geometry import MIB
from safehold.engine.index.segment_reading import SegmentSource
from safehold.engine.index.segment_writing import write_segment
from safehold.engine.index.segments import PACK_NUMBER, PackRow, SegmentEntry, rows_of
from safehold.engine.packing.chunks import ID_BYTES
from safehold.engine.packing.contents import FinishedPack

_NUMBER_BYTES = PACK_NUMBER.stop - PACK_NUMBER.start
_READ_BYTES = MIB
_HELD_BYTES = 32 * MIB
"""Of all segments together while they are merged."""


class RowSource(Protocol):
    """What can be merged: packs by number, and sorted rows that name them so."""

    @property
    def packs(self) -> Iterable[PackRow]:
        """All packs, in the order of their numbers."""

    def rows(self, read_bytes: int) -> Iterable[bytes]:
        """All rows, in the order of their ids; `read_bytes` of them are read at once, where they are read."""


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """Packs that are in the store and that no segment names yet."""

    finished: list[FinishedPack]

    @property
    def packs(self) -> Iterable[PackRow]:
        """As a segment would name them."""
        return (PackRow.of(pack) for pack in self.finished)

    def rows(self, read_bytes: int) -> Iterable[bytes]:  # noqa: ARG002 - they are in memory
        """Their chunks."""
        return rows_of(self.finished)


def worth_merging(entries: Collection[SegmentEntry], most: int) -> list[SegmentEntry]:
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
    source: SegmentSource, sources: Sequence[RowSource], name: str, *, gone: Collection[bytes] = ()
) -> SegmentEntry:
    """Write the segment `name` with all that these list, each id once, without the packs that are `gone`.

    Where an id has several places, the one with the latest lock counts: a point that needs that lock stays protected.
    Among those, the first segment's place counts for all its ids, so that the packs of the others die as a whole.
    """
    table = _PackTable(sources, frozenset(gone))
    streams = [table.ranked(rows, min(_READ_BYTES, _HELD_BYTES // len(sources))) for rows in sources]
    packs: list[PackRow] = []
    return write_segment(
        source.store, source.keys, source.geometry, name, table.renumbered(merge(*streams), packs), packs
    )


class _PackTable:
    """The packs of several segments, ranked by preference. Ranks stand in the rows while these are merged."""

    def __init__(self, sources: Sequence[RowSource], gone: frozenset[bytes]) -> None:
        known: dict[bytes, PackRow] = {}
        for rows in sources:
            for pack in rows.packs:
                if pack.id not in gone:  # a lock may have been extended since one of them was written
                    known[pack.id] = max(known.get(pack.id, pack), pack, key=lambda row: row.lock_until)
        ordered = sorted(known.values(), key=lambda pack: -pack.lock_until)
        self._packs = ordered
        self._ranks = {pack.id: rank.to_bytes(_NUMBER_BYTES) for rank, pack in enumerate(ordered)}

    def ranked(self, source: RowSource, read_bytes: int) -> Iterator[bytes]:
        """A source's rows with the ranks of their packs in place of their numbers."""
        ranks = {
            number.to_bytes(_NUMBER_BYTES): self._ranks[pack.id]
            for number, pack in enumerate(source.packs)
            if pack.id in self._ranks
        }
        for row in source.rows(read_bytes):
            rank = ranks.get(row[PACK_NUMBER])
            if rank is not None:
                yield row[: PACK_NUMBER.start] + rank + row[PACK_NUMBER.stop :]

    def renumbered(self, ranked: Iterator[bytes], packs: list[PackRow]) -> Iterator[bytes]:
        """The first row of each id, with the number that its pack gets in `packs`; unused packs get none.

        How many rows name a pack stands in `packs` when all have been taken.
        """
        numbers: dict[bytes, bytes] = {}
        listed: Counter[bytes] = Counter()
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
            listed[number] += 1
            yield chunk_id + number + row[PACK_NUMBER.stop :]
        packs[:] = [replace(pack, chunks=listed[n.to_bytes(_NUMBER_BYTES)]) for n, pack in enumerate(packs)]
