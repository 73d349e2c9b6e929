"""Reading chunks back from packs: neighbours with one request, each chunk verified before anyone sees it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine import names
from safehold.engine.geometry import KIB, MIB
from safehold.engine.index.lookup import Index
from safehold.engine.index.segments import Location, PackRow
from safehold.engine.keys.rings import KeyRing, KeySet
from safehold.engine.keys.sealing import ObjectType, object_cipher
from safehold.engine.packing.chunks import chunk_id as id_of
from safehold.engine.packing.frames import FrameBuffer, FrameKind, chunks_of, open_frame
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, ObjectMissingError

_LARGEST_RANGE_BYTES = 64 * MIB
"""What is read with one request, at most: a whole pack. Its frames are used as they come, so it takes no memory. Cut
into ranges of 4 MiB, the same packs cost a store 1.6 times the CPU time, and us 1.2 times (docs/performance.md)."""
_LEAST_RANGE_BYTES = 4 * MIB
_RANGES = 16
"""Ranges that few packs are cut into, so that all of a caller's threads have something to read, to the end."""
_LARGEST_GAP_BYTES = 128 * KIB
"""Bytes that are read in vain rather than asking twice."""


@dataclass(frozen=True, slots=True)
class PackRange:
    """Neighbouring chunks of one pack, read together."""

    pack: PackRow
    offset: int
    length: int
    chunks: list[tuple[bytes, Location]]


def plan_ranges(locations: dict[bytes, Location]) -> list[PackRange]:
    """The fewest reasonable requests that fetch all of these chunks, in the order of the packs."""
    ranges: list[PackRange] = []
    ordered = sorted(locations.items(), key=lambda item: (item[1].pack.id, item[1].offset))
    frames = {(place.pack.id, place.offset): place.stored_bytes for place in locations.values()}
    most = max(_LEAST_RANGE_BYTES, min(_LARGEST_RANGE_BYTES, sum(frames.values()) // _RANGES))
    group: list[tuple[bytes, Location]] = []
    for item in ordered:
        if group and not _joins(group[0][1], group[-1][1], item[1], most):
            ranges.append(_range(group))
            group = []
        group.append(item)
    if group:
        ranges.append(_range(group))
    return ranges


def _joins(first: Location, last: Location, following: Location, most: int) -> bool:
    return (
        first.pack.id == following.pack.id
        and following.offset - (last.offset + last.stored_bytes) <= _LARGEST_GAP_BYTES
        and following.offset + following.stored_bytes - first.offset <= most
    )


def _range(group: list[tuple[bytes, Location]]) -> PackRange:
    first, last = group[0][1], group[-1][1]
    return PackRange(first.pack, first.offset, last.offset + last.stored_bytes - first.offset, group)


class ChunkReader:
    """Reads frames of one kind. Safe to use from several threads.

    The tag of a frame covers the ids and lengths that it holds. `compute_ids` also computes each id again, which finds
    what a faulty writer named wrongly; it costs a tenth of a restore's CPU time, and reading a disk back does the same.
    """

    def __init__(
        self, store: ObjectStore, keys: KeyRing, key_set: KeySet, kind: FrameKind, *, compute_ids: bool = True
    ) -> None:
        self._store = store
        self._keys = keys
        self._kind = kind
        self._id_key = key_set.node_key if kind is FrameKind.NODES else key_set.id_key
        self._compute_ids = compute_ids
        # Deriving a pack's key costs as much as opening a small frame; a reader stays with few packs at a time.
        self._cipher = lru_cache(maxsize=256)(self._derive_cipher)

    def read(self, wanted: PackRange) -> Iterator[tuple[bytes, memoryview]]:
        """The ids and contents of a range's chunks, as `read_frames` gives them."""
        for chunks in self.read_frames(wanted):
            yield from chunks

    def read_frames(self, wanted: PackRange) -> Iterator[list[tuple[bytes, memoryview]]]:
        """The ids and contents of a range's chunks, frame by frame as they come, in the order of the pack.

        The contents of a frame are there until the next one is asked for. IntegrityError names the pack if it is
        missing, cut or changed.
        """
        name = names.pack(self._keys.scope, wanted.pack.id)
        cipher = self._cipher(wanted.pack)
        buffer = FrameBuffer()
        frames = [list(chunks) for _, chunks in groupby(wanted.chunks, key=lambda each: each[1].offset)]
        pieces = self._store.stream_range(name, wanted.offset, _piece_sizes(wanted, frames))
        for group in frames:
            place = group[0][1]
            sealed = memoryview(_next_piece(pieces, name))[: place.stored_bytes]
            if len(sealed) < place.stored_bytes:
                raise IntegrityError(
                    f"{name} is truncated", expected=f"{wanted.pack.length} bytes", found=place.offset + len(sealed)
                )
            yield self._chosen(name, open_frame(cipher, place.frame, self._kind, sealed, name), group, buffer)

    def _chosen(
        self, name: str, plain: bytes, group: list[tuple[bytes, Location]], buffer: FrameBuffer
    ) -> list[tuple[bytes, memoryview]]:
        lengths = {chunk_id: place.length for chunk_id, place in group}
        chosen = []
        for chunk_id, content in chunks_of(plain, name, buffer):
            length = lengths.pop(chunk_id, None)
            if length is None:
                continue
            if len(content) != length or (self._compute_ids and id_of(content, self._id_key) != chunk_id):
                raise IntegrityError(f"{name} holds another chunk than the index says", found=f"id {chunk_id.hex()}")
            chosen.append((chunk_id, content))
        if lengths:
            raise IntegrityError(
                f"{name} lacks a chunk that the index says is there", found=f"frame {group[0][1].frame}"
            )
        return chosen

    def _derive_cipher(self, pack: PackRow) -> AESGCM:
        data_key = self._keys.data_key(pack.key_set, names.pack(self._keys.scope, pack.id))
        return object_cipher(data_key, ObjectType.PACK, pack.id)


def _piece_sizes(wanted: PackRange, frames: list[list[tuple[bytes, Location]]]) -> list[int]:
    """How a range is cut so that each piece begins with a wanted frame."""
    starts = [group[0][1].offset for group in frames]
    return [end - start for start, end in pairwise([*starts, wanted.offset + wanted.length])]


def _next_piece(pieces: Iterator[bytes], name: str) -> bytes:
    try:
        return next(pieces, b"")
    except ObjectMissingError as problem:
        raise IntegrityError(f"{name} is missing, and chunks are in it") from problem


def locate_all(index: Index, chunk_ids: Collection[bytes]) -> dict[bytes, Location]:
    """Where all of the ids are; IntegrityError if the index misses one."""
    found = index.locate(chunk_ids)
    if len(found) != len(set(chunk_ids)):
        absent = next(chunk_id for chunk_id in chunk_ids if chunk_id not in found)
        raise IntegrityError(
            f"The index does not know {len(set(chunk_ids)) - len(found)} chunks that a map names",
            found=absent.hex()[:16],
            remedy="an index segment is missing",
        )
    return found


def read_all(reader: ChunkReader, index: Index, chunk_ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """The contents of a few chunks, by id."""
    locations = locate_all(index, sorted(set(chunk_ids)))
    return {chunk_id: bytes(content) for part in plan_ranges(locations) for chunk_id, content in reader.read(part)}
