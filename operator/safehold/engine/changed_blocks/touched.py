"""Which chunks of a disk an answer touches: one bit for each, so 16 MiB for a disk of 16 TiB, however many extents."""

import re
from collections.abc import Iterator

from safehold.engine.disks.volumes import Extent


def _runs_of_bits(byte: int) -> list[tuple[int, int]]:
    edges = [bit for bit in range(9) if (byte >> bit & 1) != (byte << 1 >> bit & 1)]
    return list(zip(edges[::2], edges[1::2], strict=True))


_RUNS_OF_BYTES = re.compile(rb"\xff+|[^\x00\xff]", re.DOTALL)
_RUNS_OF_BITS = [_runs_of_bits(byte) for byte in range(256)]
_FULL = memoryview(b"\xff" * 65536)
_PAGE_BYTES = 4096
"""Pages of the bits where nothing was added are not looked at again: searching 16 MiB takes a quarter of a second."""


class TouchedChunks:
    """A set of chunks, by slot; filled from extents, read as runs of neighbours."""

    def __init__(self, size_bytes: int, chunk_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._chunk_bytes = chunk_bytes
        self.slots = -(-size_bytes // chunk_bytes)
        self._bits = bytearray(-(-self.slots // 8))
        self._pages: set[int] = set()

    def add(self, extent: Extent) -> None:
        """Every chunk that the extent touches."""
        first, last = extent.offset // self._chunk_bytes, (extent.end - 1) // self._chunk_bytes
        first_byte, last_byte = first >> 3, last >> 3
        self._pages.update(range(first_byte // _PAGE_BYTES, last_byte // _PAGE_BYTES + 1))
        head, tail = 0xFF << (first & 7) & 0xFF, 0xFF >> (7 - (last & 7))
        if first_byte == last_byte:
            self._bits[first_byte] |= head & tail
            return
        self._bits[first_byte] |= head
        self._bits[last_byte] |= tail
        for start in range(first_byte + 1, last_byte, len(_FULL)):  # in pieces, or it would take memory a second time
            end = min(start + len(_FULL), last_byte)
            self._bits[start:end] = _FULL[: end - start]

    def __contains__(self, slot: int) -> bool:
        return bool(self._bits[slot >> 3] >> (slot & 7) & 1)

    def runs(self) -> Iterator[tuple[int, int]]:
        """First slot and the one behind the last of each run of neighbours, in order."""
        pending: tuple[int, int] | None = None
        for first, end in self._pieces():
            if pending and pending[1] == first:
                pending = pending[0], end
                continue
            if pending:
                yield pending
            pending = first, end
        if pending:
            yield pending

    def extents(self) -> Iterator[Extent]:
        """The runs as ranges of the disk."""
        for first, end in self.runs():
            offset = first * self._chunk_bytes
            yield Extent(offset, min(end * self._chunk_bytes, self._size_bytes) - offset)

    @property
    def size_bytes(self) -> int:
        """Bytes of all chunks in the set."""
        return sum(extent.length for extent in self.extents())

    def _pieces(self) -> Iterator[tuple[int, int]]:
        for match in self._matches():
            first = match.start() * 8
            if match.end() - match.start() > 1 or self._bits[match.start()] == 0xFF:
                yield first, min(match.end() * 8, self.slots)
                continue
            for start, end in _RUNS_OF_BITS[self._bits[match.start()]]:
                yield first + start, first + end

    def _matches(self) -> Iterator[re.Match[bytes]]:
        for page in sorted(self._pages):
            yield from _RUNS_OF_BYTES.finditer(self._bits, page * _PAGE_BYTES, (page + 1) * _PAGE_BYTES)
