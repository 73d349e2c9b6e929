"""An index of any size over packs that do not exist: what a run that looks chunks up sees of a large repository."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from safehold.engine import names
from safehold.engine.geometry import MIB
from safehold.engine.index.segment_writing import write_segment
from safehold.engine.index.segments import ChunkRow, PackRow
from safehold.engine.repository import Domain

_CHUNKS_PER_PACK = 1000
_STORED_BYTES, _CHUNK_BYTES = 60_000, 131_072
_STEP = 4096
"""Ids that are made at once."""


@dataclass(slots=True)
class GeneratedIndex:
    """Writes segments whose ids are spread evenly, as those of real chunks are, and remembers some of them."""

    domain: Domain
    sampled: list[bytes] = field(default_factory=list)
    """Every so many-th id, about 1,000 of each segment."""

    def write_fold(self, chunks: int) -> int:
        """A segment as maintenance leaves it; returns its length."""
        return self._write(names.fold_segments(self.domain.keys.scope), chunks)

    def write_run(self, chunks: int) -> int:
        """A segment as a run leaves it; returns its length."""
        return self._write(names.run_segments(self.domain.keys.scope), chunks)

    def _write(self, folder: str, chunks: int) -> int:
        domain = self.domain
        name = names.new_segment(folder, domain.store.time())
        key_set = domain.keys.current.id
        packs = [
            PackRow(secrets.token_bytes(32), key_set, 64 * MIB, 0, _CHUNKS_PER_PACK)
            for _ in range(-(-chunks // _CHUNKS_PER_PACK))
        ]
        rows = self._rows(chunks, len(packs))
        return write_segment(domain.store, domain.keys, domain.geometry, name, rows, packs).size_bytes

    def _rows(self, chunks: int, packs: int) -> Iterator[bytes]:
        width = (1 << 64) // chunks
        sample = max(1, chunks // 1000)
        for first in range(0, chunks, _STEP):
            count = min(_STEP, chunks - first)
            noise = secrets.token_bytes(32 * count)
            for number in range(first, first + count):
                own = noise[32 * (number - first) : 32 * (number - first) + 32]
                prefix = number * width + int.from_bytes(own[:4]) * width // (1 << 32)
                chunk_id = prefix.to_bytes(8) + own[8:]
                if number % sample == 0:
                    self.sampled.append(chunk_id)
                frame, pack = divmod(number, packs)
                yield ChunkRow(chunk_id, pack, frame, frame * _STORED_BYTES, _STORED_BYTES, _CHUNK_BYTES).packed()
