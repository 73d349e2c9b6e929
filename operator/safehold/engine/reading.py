"""Reading chunks back from packs: neighbours with one request, each chunk verified before anyone sees it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine import names
from safehold.engine.chunks import chunk_id as id_of
from safehold.engine.chunks import decompress
from safehold.engine.geometry import KIB, MIB
from safehold.engine.index.lookup import Index
from safehold.engine.index.segments import Location, PackRow
from safehold.engine.keys import KeyRing, KeySet
from safehold.engine.sealing import ObjectType, chunk_associated_data, nonce, object_cipher
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, ObjectMissingError

_LARGEST_RANGE_BYTES = 4 * MIB
"""What is read with one request, at most: large enough to hide latency, small enough that many fit in memory."""
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
    group: list[tuple[bytes, Location]] = []
    for item in ordered:
        if group and not _joins(group[0][1], group[-1][1], item[1]):
            ranges.append(_range(group))
            group = []
        group.append(item)
    if group:
        ranges.append(_range(group))
    return ranges


def _joins(first: Location, last: Location, following: Location) -> bool:
    return (
        first.pack.id == following.pack.id
        and following.offset - (last.offset + last.stored_bytes) <= _LARGEST_GAP_BYTES
        and following.offset + following.stored_bytes - first.offset <= _LARGEST_RANGE_BYTES
    )


def _range(group: list[tuple[bytes, Location]]) -> PackRange:
    first, last = group[0][1], group[-1][1]
    return PackRange(first.pack, first.offset, last.offset + last.stored_bytes - first.offset, group)


class ChunkReader:
    """Reads chunks of one type of pack. Safe to use from several threads."""

    def __init__(self, store: ObjectStore, keys: KeyRing, key_set: KeySet, pack_type: ObjectType) -> None:
        self._store = store
        self._keys = keys
        self._type = pack_type
        self._id_key = key_set.node_key if pack_type is ObjectType.MAP_PACK else key_set.id_key
        # Deriving a pack's key costs as much as opening a small chunk; a reader stays with few packs at a time.
        self._cipher = lru_cache(maxsize=256)(self._derive_cipher)

    def read(self, wanted: PackRange) -> Iterator[tuple[bytes, bytes]]:
        """The ids and contents of a range's chunks. IntegrityError names the pack if it is missing, cut or changed."""
        name = names.pack(self._keys.scope, wanted.pack.id)
        try:
            data = memoryview(self._store.get_range(name, wanted.offset, wanted.length))
        except ObjectMissingError as problem:
            raise IntegrityError(f"{name} is missing, and chunks are in it") from problem
        if len(data) != wanted.length:
            raise IntegrityError(
                f"{name} is truncated", expected=f"{wanted.pack.length} bytes", found=wanted.offset + len(data)
            )
        cipher = self._cipher(wanted.pack)
        for chunk_id, place in wanted.chunks:
            at = place.offset - wanted.offset
            sealed = data[at : at + place.stored_bytes]
            yield chunk_id, self._opened(name, cipher, chunk_id, place, sealed)

    def _opened(self, name: str, cipher: AESGCM, chunk_id: bytes, place: Location, sealed: memoryview) -> bytes:
        bound = chunk_associated_data(self._type, chunk_id, place.length)
        try:
            body = cipher.decrypt(nonce(place.frame), sealed, bound)
        except InvalidTag:
            raise IntegrityError(f"{name} is damaged", found=f"the chunk at {place.offset} does not open") from None
        content = decompress(body, place.length, name)
        if id_of(content, self._id_key) != chunk_id:
            raise IntegrityError(f"{name} holds another chunk than the index says", found=f"at {place.offset}")
        return content

    def _derive_cipher(self, pack: PackRow) -> AESGCM:
        data_key = self._keys.data_key(pack.key_set, names.pack(self._keys.scope, pack.id))
        return object_cipher(data_key, self._type, pack.id)


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
    return {chunk_id: content for part in plan_ranges(locations) for chunk_id, content in reader.read(part)}
