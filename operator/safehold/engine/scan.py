"""Reading a volume with all cores: chunks are named, compared with the parent's map, and compressed if they are new."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from safehold.engine.chunks import ID_BYTES, ZERO_ID, chunk_id, compress
from safehold.engine.maps import MapCursor, slots_of
from safehold.engine.volumes import SourceVolume
from safehold.errors import InterruptedRunError

_BATCH_CHUNKS = 8
"""2 MiB at a time: large enough for the disk and the thread switch, small enough to hold many."""
_MOST_THREADS = 8
_per_thread = threading.local()


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk that the parent does not have, ready to be sealed."""

    id: bytes
    body: bytes | bytearray
    length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of neighbouring chunks; `ids` is empty for a hole of `slots` chunks."""

    slots: int
    ids: bytes
    new: list[NewChunk]
    bytes_read: int
    bytes_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """How to scan: the cut, the keys, the parent's map, and who knows which chunks exist already."""

    chunk_bytes: int
    id_key: bytes
    previous: MapCursor
    known: Callable[[list[bytes]], set[bytes]]
    stop: threading.Event
    limit_bytes: int | None = None
    """Look no further, where the disk is larger than what it is compared with."""


def worker_threads() -> int:
    """Threads for hashing and compressing: one for each core we may use, within reason."""
    return max(2, min(_MOST_THREADS, len(os.sched_getaffinity(0))))


def scan(volume: SourceVolume, plan: ScanPlan) -> Iterator[Batch]:
    """The volume's batches in order, each exactly once, without gaps.

    At most two batches per thread are under way: the consumer holds back the readers. InterruptedRunError when `stop`
    is set.
    """
    threads = worker_threads()
    size_bytes = min(volume.size_bytes, plan.limit_bytes or volume.size_bytes)
    pending: deque[Future[Batch] | Batch] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="scan") as executor:
        try:
            for first, count, is_data in _pieces(volume, plan.chunk_bytes, size_bytes):
                if plan.stop.is_set():
                    raise InterruptedRunError("The run was told to stop")
                if is_data:
                    previous = plan.previous.ids(first, count)
                    pending.append(executor.submit(_read_batch, volume, plan, (first, count, size_bytes), previous))
                else:
                    changed = plan.previous.count_data(first, count) * plan.chunk_bytes
                    pending.append(Batch(count, b"", [], 0, changed))
                while len(pending) > 2 * threads or (pending and not isinstance(pending[0], Future)):
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _result(item: Future[Batch] | Batch) -> Batch:
    return item if isinstance(item, Batch) else item.result()


def _pieces(volume: SourceVolume, chunk_bytes: int, size_bytes: int) -> Iterator[tuple[int, int, bool]]:
    """First chunk, number of chunks, and whether there may be data: the extents, widened to whole chunks."""
    position = 0
    slots = slots_of(size_bytes, chunk_bytes)
    for extent in volume.data_extents():
        first = max(extent.offset // chunk_bytes, position)
        last = min(slots_of(extent.end, chunk_bytes), slots)
        if first > position:
            yield position, first - position, False
        for start in range(first, last, _BATCH_CHUNKS):
            yield start, min(_BATCH_CHUNKS, last - start), True
        position = max(position, last)
    if position < slots:
        yield position, slots - position, False


def _read_batch(volume: SourceVolume, plan: ScanPlan, piece: tuple[int, int, int], previous: bytes) -> Batch:
    first, count, size_bytes = piece
    offset = first * plan.chunk_bytes
    total = min(count * plan.chunk_bytes, size_bytes - offset)
    chunks = _buffers(plan.chunk_bytes, count, total)
    volume.read_into(list(chunks), offset)
    zeros = _zeros(plan.chunk_bytes)
    ids = [
        ZERO_ID
        if chunk == (zeros if len(chunk) == len(zeros) else zeros[: len(chunk)])
        else chunk_id(chunk, plan.id_key)
        for chunk in chunks
    ]
    changed = [n for n, i in enumerate(ids) if i != previous[n * ID_BYTES : (n + 1) * ID_BYTES]]
    return Batch(
        slots=count,
        ids=b"".join(ids),
        new=_new_chunks(plan, {ids[n]: chunks[n] for n in changed if ids[n] != ZERO_ID}),
        bytes_read=total,
        bytes_changed=sum(len(chunks[n]) for n in changed),
    )


def _new_chunks(plan: ScanPlan, changed: dict[bytes, bytearray]) -> list[NewChunk]:
    if not changed:
        return []
    known = plan.known(list(changed))
    return [NewChunk(i, compress(chunk), len(chunk)) for i, chunk in changed.items() if i not in known]


def _buffers(chunk_bytes: int, count: int, total: int) -> list[bytearray]:
    """Buffers of the calling thread, one per chunk: the next batch fills them again, so nothing may keep them."""
    if getattr(_per_thread, "chunk_bytes", None) != chunk_bytes:
        _per_thread.buffers = [bytearray(chunk_bytes) for _ in range(_BATCH_CHUNKS)]
        _per_thread.chunk_bytes = chunk_bytes
    buffers: list[bytearray] = _per_thread.buffers[:count]
    last = total - (count - 1) * chunk_bytes
    if last != chunk_bytes:
        buffers[-1] = bytearray(last)
    return buffers


def _zeros(chunk_bytes: int) -> bytes:
    if len(getattr(_per_thread, "zeros", b"")) != chunk_bytes:
        _per_thread.zeros = bytes(chunk_bytes)
    zeros: bytes = _per_thread.zeros
    return zeros
