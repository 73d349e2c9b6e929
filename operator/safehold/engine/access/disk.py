"""A disk of a restore point, read anywhere."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from safehold.engine.access.contents import ContentCache, Pending
from safehold.engine.access.maps import MapLookup
from safehold.engine.access.read_ahead import ReadAhead
from safehold.engine.disks.comparing import volume_of
from safehold.engine.geometry import KIB, MIB
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import Manifest
from safehold.engine.reading import ChunkReader
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError, SafeholdError

CACHE_BYTES = 64 * MIB
"""Of verified chunks. File systems come back to their metadata all the time."""
_NODE_CACHE_BYTES = 8 * MIB
_NODES_NEAR_BYTES = 64 * KIB
"""Neighbouring nodes that are read along: the map of 128 MiB and more."""
_STEP_BYTES = 16 * MIB
"""What is asked of the store at once; a longer read goes step by step."""
_READERS = 8
"""Requests under way at once, of each of which a frame or two are in memory."""


class PointDisk:
    """One disk of a restore point. Every byte that it gives is verified. Safe to read from several threads.

    Memory, beside what the index takes (24 MiB of blocks): `cache_bytes` of chunks, 8 MiB of map nodes, and for
    reads under way 8 requests of 2 MiB and at most 16 MiB for each reading thread: about 150 MiB with four threads.
    """

    def __init__(self, domain: Domain, manifest: Manifest, name: str, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._volume = volume_of(manifest, name)
        self.name = name
        self.size_bytes = self._volume.size_bytes
        self._chunk_bytes = self._volume.chunk_bytes
        self._beside = max(1, domain.geometry.frame_bytes // self._chunk_bytes) - 1
        domain.index.follow(manifest.segments)
        keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="fetch")
        # Of its own, as it waits for the readers.
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._reading_ahead = threading.Lock()
        self._sequences = ReadAhead()
        self._chunks = ContentCache(
            ChunkReader(domain.store, domain.keys, keys, FrameKind.CHUNKS),
            domain.index,
            self._readers,
            capacity=max(1, cache_bytes // self._chunk_bytes),
        )
        nodes = ContentCache(
            ChunkReader(domain.store, domain.keys, keys, FrameKind.NODES),
            domain.index,
            self._readers,
            capacity=max(1, _NODE_CACHE_BYTES // (self._volume.map_fanout * ID_BYTES)),
            near_bytes=_NODES_NEAR_BYTES,
        )
        self._map = MapLookup(self._volume, nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what is under way is waited for."""
        self._ahead.shutdown(cancel_futures=True)
        self._readers.shutdown()

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; ValueError where the disk has none.

        IntegrityError names the chunk that is damaged or missing; a StoreError says what the store refused.
        """
        end = offset + length
        if offset < 0 or length < 0 or end > self.size_bytes:
            raise ValueError(f"{length} bytes at {offset} are not within {self.size_bytes}")
        steps = [self._step(start, min(end, start + _STEP_BYTES)) for start in range(offset, end, _STEP_BYTES)]
        ahead = self._sequences.after(offset, end)
        if ahead and self._reading_ahead.acquire(blocking=False):
            self._ahead.submit(self._fetch_ahead, *ahead)
        return steps[0] if len(steps) == 1 else b"".join(steps)

    def _step(self, start: int, end: int) -> bytes:
        first, last = start // self._chunk_bytes, (end - 1) // self._chunk_bytes
        ids, asked = self._ask(first, last)
        pieces = []
        for slot, chunk_id in zip(range(first, last + 1), ids, strict=True):
            at = slot * self._chunk_bytes
            low, high = max(start, at) - at, min(end, at + self._chunk_bytes) - at
            content = None if chunk_id == ZERO_ID else self._content(slot, asked[chunk_id])
            pieces.append(bytes(high - low) if content is None else content[low:high])
        return b"".join(pieces)

    def _ask(self, first: int, last: int) -> tuple[list[bytes], dict[bytes, Pending]]:
        """The ids of these chunks, and what they hold; their neighbours come along where they share a frame."""
        low = max(0, first - self._beside)
        high = min(self._volume.map().slots, last + 1 + self._beside)
        around = self._map.ids(low, high - low)
        ids = around[first - low : last + 1 - low]
        return ids, self._chunks.ask(set(ids) - {ZERO_ID}, set(around) - {ZERO_ID})

    def _content(self, slot: int, pending: Pending) -> bytes:
        at = slot * self._chunk_bytes
        length = min(self._chunk_bytes, self.size_bytes - at)
        try:
            content = pending.result()
        except IntegrityError as problem:
            raise IntegrityError(
                f"Chunk {slot} of the volume {self.name}, {length} bytes at {at}, cannot be read: {problem.what}",
                expected=problem.expected,
                found=problem.found,
                remedy="'safehold repo check --read-data' tells what else is hit; read another point",
            ) from problem
        if len(content) != length:
            raise IntegrityError(
                f"Chunk {slot} of the volume {self.name} has another length", expected=length, found=len(content)
            )
        return content

    def _fetch_ahead(self, start: int, end: int) -> None:
        try:
            end = min(end, self.size_bytes)
            if start < end:
                # What cannot be read now may never be asked for; whoever does is told.
                with suppress(SafeholdError):
                    self._ask(start // self._chunk_bytes, (end - 1) // self._chunk_bytes)
        finally:
            self._reading_ahead.release()
