"""What the index of a key domain lists and what the store holds: all segments, all packs, all rows, on disk."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from safehold.engine import names
from safehold.engine.condemned import Condemned
from safehold.engine.geometry import MIB
from safehold.engine.index.folding import open_segments
from safehold.engine.index.segment_reading import Segment
from safehold.engine.index.segments import ChunkRow, PackRow
from safehold.engine.maintenance.partitions import Partitions
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError

_ROW = struct.Struct(">32sBIII")
_READ_BYTES = 4 * MIB
"""Of a segment, with one request."""


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack as the store lists it."""

    size_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Copy:
    """One place of a chunk: rank of its segment, number of its pack, its length."""

    segment: int
    pack: int
    length: int


class Inventory:
    """Everything that the segments list. What is condemned ranks behind what is not, so that it is needed last."""

    def __init__(self, domain: Domain, condemned: Condemned) -> None:
        self.condemned = condemned
        self._condemned_segments, self._condemned_packs = condemned.segments, condemned.packs
        self.segments = sorted(open_segments(domain), key=self.is_condemned)
        self.packs: list[PackRow] = []
        self._numbers: dict[bytes, int] = {}
        self.rows = Partitions(_ROW.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.rows.__exit__(kind, error, at)

    def is_condemned(self, segment: Segment) -> bool:
        """Whether the segment is on a list."""
        return segment.name in self._condemned_segments

    def surviving(self) -> list[Segment]:
        """The segments that are on no list."""
        return [segment for segment in self.segments if not self.is_condemned(segment)]

    def named_packs(self) -> list[PackRow]:
        """The packs that the segments name that are on no list."""
        return list({pack.id: pack for segment in self.surviving() for pack in segment.packs}.values())

    def load(self, advance: Advance = silent) -> None:
        """Read all rows of all segments."""
        total = sum(segment.entries for segment in self.segments)
        for rank, segment in enumerate(self.segments):
            numbers = [self._number(pack) for pack in segment.packs]
            last = [self.packs[number].id in self._condemned_packs for number in numbers]
            for packed in segment.rows(_READ_BYTES):
                row = ChunkRow.parse(packed)
                self.rows.add(_ROW.pack(row.id, last[row.pack], rank, numbers[row.pack], row.length))
            advance("Reading the index", self.rows.records, total)

    def copies(self, partition: int) -> Iterator[tuple[bytes, list[Copy]]]:
        """The chunks whose ids begin with this byte, in order, each with its places, the preferred one first."""
        last, places = b"", list[Copy]()
        for record in self.rows[partition]:
            chunk_id, _, *place = _ROW.unpack(record)
            if chunk_id != last:
                if places:
                    yield last, places
                last, places = chunk_id, []
            places.append(Copy(*place))
        if places:
            yield last, places

    def _number(self, pack: PackRow) -> int:
        number = self._numbers.get(pack.id)
        if number is None:
            number = self._numbers[pack.id] = len(self.packs)
            self.packs.append(pack)
        return number


def stored_packs(domain: Domain) -> dict[bytes, StoredPack]:
    """The packs that the store lists."""
    found = {}
    for entry in domain.store.list(names.packs(domain.keys.scope)):
        pack_id = names.pack_of_object(entry.name)
        if pack_id is None:
            raise IntegrityError(f"{entry.name} is not the name of a pack", remedy="remove what does not belong here")
        found[pack_id] = StoredPack(entry.size_bytes, entry.modified)
    return found


def mentioned(segments: Iterable[Segment]) -> set[bytes]:
    """The ids of the packs that these segments name."""
    return {pack.id for segment in segments for pack in segment.packs}
