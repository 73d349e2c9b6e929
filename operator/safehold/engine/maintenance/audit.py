"""Reading packs back whole: every frame is opened, and every chunk is what its id says."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice

from safehold.engine import names
from safehold.engine.geometry import MIB
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import ObjectType, object_cipher
from safehold.engine.maintenance.inventory import StoredPack
from safehold.engine.packing.chunks import chunk_id
from safehold.engine.packing.contents import FinishedPack, PackedChunk, read_contents
from safehold.engine.packing.frames import FrameKind, chunks_of, open_frame
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError, KeyMaterialError, ObjectMissingError

_READERS = 4
_READ_BYTES = 4 * MIB
"""Read with one request, and held by each reader."""


@dataclass(slots=True)
class Audited:
    """What is wrong with one pack, and which chunks and nodes cannot be had from it."""

    problems: list[str] = field(default_factory=list)
    lost: set[bytes] = field(default_factory=set)


def audit_packs(domain: Domain, pack_ids: list[bytes], packs: dict[bytes, StoredPack]) -> Iterator[Audited]:
    """The verdicts on these packs, in their order."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="audit") as readers:
        waiting = iter(pack_ids)
        # Windows bound what is held, since a map over all packs would run ahead of whoever takes the verdicts.
        while window := list(islice(waiting, 4 * _READERS)):
            yield from readers.map(lambda pack_id: audit_pack(domain, pack_id, packs[pack_id].size_bytes), window)


def audit_pack(domain: Domain, pack_id: bytes, size_bytes: int) -> Audited:
    """Read one pack. Where its table of contents does not open, what it held is known to the index alone."""
    audited = Audited()
    try:
        contents = read_contents(domain.store, domain.keys, pack_id, size_bytes)
        for part in _parts(contents):
            _audit_part(domain, contents, part, audited)
    except (IntegrityError, KeyMaterialError) as problem:
        audited.problems.append(str(problem))
    except ObjectMissingError:  # swept since it was listed
        return Audited()
    return audited


def _parts(contents: FinishedPack) -> Iterator[list[list[PackedChunk]]]:
    """The pack's frames, as many together as are read with one request."""
    part: list[list[PackedChunk]] = []
    size = 0
    for _, chunks in groupby(contents.chunks, key=lambda chunk: chunk.frame):
        frame = list(chunks)
        if part and size + frame[0].stored_bytes > _READ_BYTES:
            yield part
            part, size = [], 0
        part.append(frame)
        size += frame[0].stored_bytes
    if part:
        yield part


def _audit_part(domain: Domain, contents: FinishedPack, part: Iterable[list[PackedChunk]], audited: Audited) -> None:
    name = names.pack(domain.keys.scope, contents.id)
    cipher = object_cipher(domain.keys.data_key(contents.key_set, name), ObjectType.PACK, contents.id)
    frames = list(part)
    start = frames[0][0].offset
    end = frames[-1][0].offset + frames[-1][0].stored_bytes
    data = memoryview(domain.store.get_range(name, start, end - start))
    for frame in frames:
        first = frame[0]
        sealed = data[first.offset - start : first.offset - start + first.stored_bytes]
        try:
            held = chunks_of(open_frame(cipher, first.frame, first.kind, sealed, name), name)
            _compare(name, domain.keys, frame, held)
        except IntegrityError as problem:
            audited.problems.append(str(problem))
            audited.lost.update(chunk.id for chunk in frame)


def _compare(name: str, keys: KeyRing, frame: list[PackedChunk], held: Iterable[tuple[bytes, memoryview]]) -> None:
    """IntegrityError unless a frame holds what the table says, and each content has its id under one of our keys."""
    nodes = frame[0].kind is FrameKind.NODES
    id_keys = {key_set.node_key if nodes else key_set.id_key for key_set in keys.key_sets.values()}
    found = {given: content for given, content in held if any(chunk_id(content, key) == given for key in id_keys)}
    if {given: len(content) for given, content in found.items()} != {chunk.id: chunk.length for chunk in frame}:
        raise IntegrityError(f"{name} holds other chunks than it says", found=f"frame {frame[0].frame}")
