"""Reading a volume with all cores: chunks are named, compared with a map, and compressed if they are new."""

import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.volumes import ReadableDisk
from safehold.engine.maps.tree import MapCursor, slots_of
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID, chunk_id
from safehold.engine.packing.frames import Frame, FrameKind
from safehold.errors import InterruptedRunError

_HOLE_SLOTS = 64 * 1024
"""A larger hole becomes several batches, so that what differs in one is a list of bounded length."""
_FEWEST_THREADS = 4
_MOST_THREADS = 8
"""Each holds about 6 MiB: its batch, the compressor, and frames that wait to be packed."""
_per_thread = threading.local()

Claim = Callable[[list[bytes]], set[bytes]]
"""Asked for each changed chunk, by several threads: those that are to be packed. Each id is given to one of them."""


def claim_nothing(_: list[bytes]) -> set[bytes]:
    """For who only compares."""
    return set()


def release_nothing(_: Iterable[bytes]) -> None:
    """For who claims nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of neighbouring chunks, from the slot `first` on."""

    first: int
    slots: int
    ids: bytes
    """Joined; empty for a hole."""
    changed: Sequence[tuple[int, bytes]] = ()
    """The slots whose ids differ from the map's, each with the map's id."""
    bytes_read: int = 0
    bytes_changed: int = 0
    frame: Frame | None = None
    """The changed chunks that were claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """How to scan: the cut, the key, the map to compare with, and who decides which chunks are packed."""

    chunk_bytes: int
    batch_chunks: int
    id_key: bytes
    previous: MapCursor
    claim: Claim
    stop: threading.Event
    limit_bytes: int | None = None
    """Look no further, where the disk is larger than what it is compared with."""
    only: TouchedChunks | None = None
    """Read these chunks and say nothing of the others."""
    release: Callable[[Iterable[bytes]], None] = release_nothing
    """Told the claimed chunks of batches that nobody took, because the scan ended early."""


@dataclass(frozen=True, slots=True)
class _Piece:
    first: int
    count: int
    is_data: bool


def worker_threads() -> int:
    """Threads that read, hash and compress: two for each core we may use, as one of them waits for the disk."""
    return max(_FEWEST_THREADS, min(_MOST_THREADS, 2 * len(os.sched_getaffinity(0))))


def scan(volume: ReadableDisk, plan: ScanPlan) -> Iterator[Batch]:
    """The volume's batches in order, each exactly once, without gaps but those that `only` leaves.

    At most two batches per thread are under way: the consumer holds back the readers. InterruptedRunError when `stop`
    is set.
    """
    threads = worker_threads()
    size_bytes = min(volume.size_bytes, plan.limit_bytes or volume.size_bytes)
    pending: deque[Future[Batch] | Batch] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="scan") as executor:
        try:
            for piece in _pieces(volume, plan, size_bytes):
                if plan.stop.is_set():
                    raise InterruptedRunError("The run was told to stop")
                if piece.is_data:
                    previous = plan.previous.ids(piece.first, piece.count)
                    pending.append(executor.submit(_read_batch, volume, plan, piece, size_bytes, previous))
                else:
                    pending.append(_hole(plan, piece, size_bytes))
                while len(pending) > 2 * threads or (pending and not isinstance(pending[0], Future)):
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
            _release(pending, plan)


def _result(item: Future[Batch] | Batch) -> Batch:
    return item if isinstance(item, Batch) else item.result()


def _release(pending: Iterable[Future[Batch] | Batch], plan: ScanPlan) -> None:
    for item in pending:
        if isinstance(item, Future) and not item.cancelled() and item.exception() is None:
            frame = item.result().frame
            if frame:
                plan.release([chunk_id for chunk_id, _ in frame.chunks])


def _pieces(volume: ReadableDisk, plan: ScanPlan, size_bytes: int) -> Iterator[_Piece]:
    """The extents, widened to whole chunks, and the holes between them."""
    position = 0
    slots = slots_of(size_bytes, plan.chunk_bytes)
    if plan.only:
        for first, end in plan.only.runs():
            yield from _cut(first, min(end, slots), plan.batch_chunks, is_data=True)
        return
    for extent in volume.data_extents():
        first = max(extent.offset // plan.chunk_bytes, position)
        last = min(slots_of(extent.end, plan.chunk_bytes), slots)
        yield from _cut(position, first, _HOLE_SLOTS, is_data=False)
        yield from _cut(first, last, plan.batch_chunks, is_data=True)
        position = max(position, last)
    yield from _cut(position, slots, _HOLE_SLOTS, is_data=False)


def _cut(first: int, end: int, most: int, *, is_data: bool) -> Iterator[_Piece]:
    for start in range(first, end, most):
        yield _Piece(start, min(most, end - start), is_data)


def _hole(plan: ScanPlan, piece: _Piece, size_bytes: int) -> Batch:
    changed = plan.previous.data_chunks(piece.first, piece.count)
    return Batch(
        first=piece.first,
        slots=piece.count,
        ids=b"",
        changed=changed,
        bytes_changed=_bytes_of(changed, plan.chunk_bytes, size_bytes),
    )


def _read_batch(volume: ReadableDisk, plan: ScanPlan, piece: _Piece, size_bytes: int, previous: bytes) -> Batch:
    offset = piece.first * plan.chunk_bytes
    content = _buffer(plan)[: min(piece.count * plan.chunk_bytes, size_bytes - offset)]
    volume.read_into([content], offset)
    chunks = [content[at : at + plan.chunk_bytes] for at in range(0, len(content), plan.chunk_bytes)]
    ids = [ZERO_ID if _is_zeros(chunk) else chunk_id(chunk, plan.id_key) for chunk in chunks]
    joined = b"".join(ids)
    before = [previous[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES)] if joined != previous else ids
    different = [n for n, each in enumerate(ids) if each != before[n]]
    changed = [(piece.first + n, before[n]) for n in different]
    return Batch(
        first=piece.first,
        slots=piece.count,
        ids=joined,
        changed=changed,
        bytes_read=len(content),
        bytes_changed=_bytes_of(changed, plan.chunk_bytes, size_bytes),
        frame=_new_frame(plan, {ids[n]: chunks[n] for n in different if ids[n] != ZERO_ID}, content),
    )


def _new_frame(plan: ScanPlan, changed: dict[bytes, memoryview], content: memoryview) -> Frame | None:
    claimed = plan.claim(list(changed)) if changed else set()
    if not claimed:
        return None
    new = [(each, chunk) for each, chunk in changed.items() if each in claimed]
    named = [(each, len(chunk)) for each, chunk in new]
    is_whole = sum(length for _, length in named) == len(content)
    return Frame.of(FrameKind.CHUNKS, named, content if is_whole else b"".join(chunk for _, chunk in new))


def _bytes_of(changed: Iterable[tuple[int, bytes]], chunk_bytes: int, size_bytes: int) -> int:
    return sum(min(chunk_bytes, size_bytes - slot * chunk_bytes) for slot, _ in changed)


def _buffer(plan: ScanPlan) -> memoryview:
    """A buffer of the calling thread: its next batch fills it again, so nothing may keep a part of it."""
    size = plan.batch_chunks * plan.chunk_bytes
    if len(getattr(_per_thread, "buffer", b"")) != size:
        # A mapping begins at a page, as reading past the page cache wants it.
        _per_thread.buffer = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    buffer: memoryview = _per_thread.buffer
    return buffer


def _is_zeros(chunk: memoryview) -> bool:
    # A bytearray compares with any buffer by memcmp; a memoryview would do it byte by byte.
    if len(getattr(_per_thread, "zeros", b"")) != len(chunk):
        _per_thread.zeros = bytearray(len(chunk))
    zeros: bytearray = _per_thread.zeros
    return zeros == chunk
