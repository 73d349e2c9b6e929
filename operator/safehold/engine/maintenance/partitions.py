"""Many records of one size, kept on disk in partitions that each fit into memory."""

import os
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_PARTITIONS = 256
"""By a record's first byte: of 50 million chunks, 195,000 come into one."""
_BUFFER_BYTES = 16 * 1024


class Partitions:
    """Collects records that begin with an id, and hands them back partition by partition, in the order of ids.

    Memory holds 4 MiB of buffers at most; the file has no name, so nothing is left of it after a crash.
    """

    def __init__(self, record_bytes: int) -> None:
        self._record_bytes = record_bytes
        self._limit = max(_BUFFER_BYTES // record_bytes, 1) * record_bytes
        self._buffers = [bytearray() for _ in range(_PARTITIONS)]
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(_PARTITIONS)]
        self._file = tempfile.TemporaryFile(prefix="safehold-")  # noqa: SIM115 - closed by __exit__
        self._end = 0
        self.records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, record: bytes) -> None:
        """Take one record."""
        partition = record[0]
        buffer = self._buffers[partition]
        buffer += record
        self.records += 1
        if len(buffer) >= self._limit:
            self._spill(partition)

    def __iter__(self) -> Iterator[list[bytes]]:
        """The records of each partition, sorted, each record once; partitions without records are left out."""
        for partition in range(_PARTITIONS):
            found = self._read(partition)
            if found:
                yield found

    def __getitem__(self, partition: int) -> list[bytes]:
        """The records that begin with this byte, sorted, each once."""
        return self._read(partition)

    def _spill(self, partition: int) -> None:
        buffer = self._buffers[partition]
        os.pwrite(self._file.fileno(), buffer, self._end)
        self._extents[partition].append((self._end, len(buffer)))
        self._end += len(buffer)
        buffer.clear()

    def _read(self, partition: int) -> list[bytes]:
        size = self._record_bytes
        records: set[bytes] = set()
        for offset, length in self._extents[partition]:
            data = os.pread(self._file.fileno(), length, offset)
            records.update(data[at : at + size] for at in range(0, length, size))
        pending = bytes(self._buffers[partition])
        records.update(pending[at : at + size] for at in range(0, len(pending), size))
        return sorted(records)
