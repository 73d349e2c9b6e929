"""Filling a disk from a restore point: all of it, or what differs."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.comparing import ReportBytes, compare, map_of, verify, volume_of
from safehold.engine.disks.scan import Batch
from safehold.engine.disks.targets import HEAD_BYTES, TargetVolume
from safehold.engine.disks.volumes import Extent, SourceVolume
from safehold.engine.geometry import MIB
from safehold.engine.maps.tree import MapReader
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.engine.reading import ChunkReader, PackRange, locate_all, plan_ranges
from safehold.engine.repository import Domain
from safehold.errors import InterruptedRunError, PointError, SafeholdError

_WINDOW_CHUNKS = 16 * 1024
"""Chunks that are looked up together and fetched in the order of the packs: 2 GiB of data, about 5 MiB of memory."""
_FIRST_WINDOW_CHUNKS = 1024
"""The first are few, so that fetching begins early; each window is four times the one before."""
_PATIENCE_BYTES = 64 * MIB
"""What is read of a disk, at most, before what differs is fetched: reading it takes longer than looking that up."""
_READERS = 8
"""Requests under way at once, of each of which a frame or two are in memory."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Slots of a volume, in order, with the ids of what belongs there."""

    places: list[tuple[int, bytes]]
    bytes_read: int = 0
    """What was read of the disk to know this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    bytes_total: int
    bytes_fetched: int
    """What the store has sent: chunks, and what it took to find them."""
    bytes_written: int


def fill(
    domain: Domain,
    manifest: Manifest,
    name: str,
    path: Path,
    *,
    stop: threading.Event,
    progress: ReportBytes,
    in_place: bool = False,
    read_back: bool = True,
) -> Restored:
    """Write a volume of a point to a file or device, and only then make it one that can be taken for whole.

    Every chunk is verified before it is written. With `read_back` the medium has everything, and was read and compared.
    """
    volume = volume_of(manifest, name)
    target = TargetVolume(path, volume.size_bytes, in_place=in_place)
    with _filling(target):
        filling = _Filling(domain, manifest, volume, target, stop)
        filling.run(_all_chunks(map_of(domain, manifest, volume), filling, progress))
        _finish(domain, manifest, name, target, stop, read_back=read_back)
    return filling.result()


def complete(
    domain: Domain,
    manifest: Manifest,
    name: str,
    path: Path,
    *,
    stop: threading.Event,
    progress: ReportBytes,
    in_place: bool = False,
    read_back: bool = False,
    only: TouchedChunks | None = None,
) -> Restored:
    """Make a disk that is there already, such as a clone, what the point says: read it, and move what differs.

    With `only`, the caller knows that the disk is what the point says outside of these chunks: only they are read.

    Meanwhile it cannot be taken for whole: a file has another name (`.partial`), and anything else no head. A disk
    that such an attempt has left is completed by the next.
    """
    volume = volume_of(manifest, name)
    target = TargetVolume(path, volume.size_bytes, in_place=in_place, keep=True)
    if only and target.in_place:  # where the mark is
        only.add(Extent(0, min(HEAD_BYTES, volume.size_bytes)))
    with _filling(target), SourceVolume(target.filling) as disk:
        filling = _Filling(domain, manifest, volume, target, stop)
        batches = compare(domain, manifest, volume, disk, stop=stop, only=only)
        filling.run(_differing_chunks(batches, filling, progress))
        _finish(domain, manifest, name, target, stop, read_back=read_back)
    return filling.result()


@contextmanager
def _filling(target: TargetVolume) -> Iterator[None]:
    with target:
        try:
            yield
        except SafeholdError as problem:
            state = target.state()
            problem.remedy = f"{problem.remedy}; {state}" if problem.remedy else state
            raise


def _finish(
    domain: Domain, manifest: Manifest, name: str, target: TargetVolume, stop: threading.Event, *, read_back: bool
) -> None:
    target.zero_behind_disk()
    if not read_back:
        target.finish()
        return
    if not target.in_place:
        target.flush()
        verify(domain, manifest, name, target.filling, stop=stop)
        target.finish()
        return
    target.finish()
    try:
        verify(domain, manifest, name, target.path, stop=stop)
    except SafeholdError:
        target.mark()
        raise


def _all_chunks(source: MapReader, filling: "_Filling", progress: ReportBytes) -> Iterator[_Wanted]:
    """The chunks of a map; what lies between them is zeroed on the way."""
    position = 0
    for leaf in source.leaves():
        done = position
        places = []
        for number in range(len(leaf.ids) // ID_BYTES):
            wanted = leaf.ids[number * ID_BYTES : (number + 1) * ID_BYTES]
            if wanted != ZERO_ID:
                slot = leaf.first + number
                filling.zero_between(position, slot)
                position = slot + 1
                places.append((slot, wanted))
        yield _Wanted(places)
        progress(filling.bytes_between(done, position))
    filling.zero_between(position, filling.slots)
    progress(filling.bytes_between(position, filling.slots))


def _differing_chunks(batches: Iterable[Batch], filling: "_Filling", progress: ReportBytes) -> Iterator[_Wanted]:
    """The chunks that the disk lacks; what the point has zeros for is zeroed on the way."""
    first = last = position = 0
    for batch in batches:
        places = []
        for slot, wanted in batch.changed:
            if wanted != ZERO_ID:
                places.append((slot, wanted))
                continue
            if slot != last:  # neighbours are zeroed together, or a file system would give back nothing of them
                filling.zero_between(first, last)
                first = slot
            last = slot + 1
        yield _Wanted(places, batch.bytes_read)
        done, position = position, batch.first + batch.slots
        progress(filling.bytes_between(done, position))
    filling.zero_between(first, last)
    progress(filling.bytes_between(position, filling.slots))


class _Filling:
    """One volume on its way from the packs to the disk."""

    def __init__(
        self, domain: Domain, manifest: Manifest, volume: StoredVolume, target: TargetVolume, stop: threading.Event
    ) -> None:
        self._domain = domain
        self._volume = volume
        self._target = target
        self._stop = stop
        keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
        self._reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.CHUNKS, compute_ids=False)
        self.slots = volume.map().slots
        self._received_before = domain.store.bytes_received()
        self._written = 0

    def run(self, wanted: Iterable[_Wanted]) -> None:
        """Fetch and write all of it. What follows is looked up while this is fetched."""
        pending: deque[Future[int]] = deque()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="restore") as executor:
            try:
                for places in _windows(wanted):
                    self._target.reserve(self._runs(places))
                    for part in plan_ranges(locate_all(self._domain.index, sorted(places))):
                        if self._stop.is_set():
                            raise InterruptedRunError("The restore was told to stop")
                        pending.append(executor.submit(self._write_range, part, places))
                        while len(pending) > 2 * _READERS:
                            self._written += pending.popleft().result()
                while pending:
                    self._written += pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def result(self) -> Restored:
        """What was done since this was made."""
        fetched = self._domain.store.bytes_received() - self._received_before
        return Restored(bytes_total=self._volume.size_bytes, bytes_fetched=fetched, bytes_written=self._written)

    def zero_between(self, first: int, last: int) -> None:
        """Make the slots from `first` to before `last` zeros."""
        if last > first:
            self._target.zero(Extent(self._offset(first), self.bytes_between(first, last)))

    def bytes_between(self, first: int, last: int) -> int:
        """How much of the disk the slots from `first` to before `last` are."""
        return self._offset(last) - self._offset(first)

    def _runs(self, places: dict[bytes, list[int]]) -> Iterator[Extent]:
        """Where the chunks belong, neighbours together."""
        slots = sorted(slot for each in places.values() for slot in each)
        first = 0
        for number, slot in enumerate(slots, start=1):
            if number == len(slots) or slots[number] != slot + 1:
                yield Extent(self._offset(slots[first]), self.bytes_between(slots[first], slot + 1))
                first = number

    def _offset(self, slot: int) -> int:
        return min(slot * self._volume.chunk_bytes, self._volume.size_bytes)

    def _write_range(self, part: PackRange, places: dict[bytes, list[int]]) -> int:
        written = 0
        for chunks in self._reader.read_frames(part):
            placed = sorted(
                ((slot, content) for chunk_id, content in chunks for slot in places[chunk_id]), key=lambda each: each[0]
            )
            for first, pieces in _neighbours(placed):
                offset, size = self._offset(first), sum(len(piece) for piece in pieces)
                if size != self.bytes_between(first, first + len(pieces)):
                    raise PointError(
                        "A map names a chunk that does not fit its place", found=f"{size} bytes at {offset}"
                    )
                self._target.write(pieces, offset)
                written += size
        return written


def _windows(wanted: Iterable[_Wanted]) -> Iterator[dict[bytes, list[int]]]:
    """Chunk ids with the slots that they belong to, so many at a time, or fewer where finding them takes long."""
    places: dict[bytes, list[int]] = defaultdict(list)
    most = _FIRST_WINDOW_CHUNKS
    read = 0
    for some in wanted:
        for slot, chunk_id in some.places:
            places[chunk_id].append(slot)
        read = read + some.bytes_read if places else 0
        if len(places) >= most or read >= _PATIENCE_BYTES:
            yield places
            places, read = defaultdict(list), 0
            most = min(4 * most, _WINDOW_CHUNKS)
    if places:
        yield places


def _neighbours(placed: list[tuple[int, memoryview]]) -> Iterator[tuple[int, list[bytes | memoryview]]]:
    """The first slot and the contents of each run of slots."""
    pieces: list[bytes | memoryview] = []
    first = 0
    for slot, content in placed:
        if pieces and slot == first + len(pieces):
            pieces.append(content)
            continue
        if pieces:
            yield first, pieces
        first, pieces = slot, [content]
    if pieces:
        yield first, pieces
