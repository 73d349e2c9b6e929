"""Moving what is needed of some packs into new ones. Nothing is taken away here: the old packs stay as they are."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from safehold.engine import names
from safehold.engine.backup.lanes import UploadLanes
from safehold.engine.condemned import refuse_expired
from safehold.engine.index.lookup import Index
from safehold.engine.keys.sealing import ObjectType, object_cipher
from safehold.engine.maintenance.findings import Findings
from safehold.engine.maintenance.inventory import StoredPack
from safehold.engine.maintenance.partitions import Partitions
from safehold.engine.maintenance.progress import Advance
from safehold.engine.packing.chunks import ID_BYTES
from safehold.engine.packing.contents import PackedChunk, read_contents
from safehold.engine.packing.frames import Frame, FrameKind, chunks_of, open_frame
from safehold.engine.packing.packs import RunPacks
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError

_PARTITIONS = 256


@dataclass(frozen=True, slots=True)
class Moved:
    """What was written: bytes in new packs, and the names of the segments that list them."""

    stored_bytes: int
    segments: frozenset[str]


def move_chunks(findings: Findings, packs: Collection[bytes], advance: Advance) -> Moved:
    """Write what points need of these packs into new packs, and the segments that name those."""
    if not packs:
        return Moved(0, frozenset())
    with ExitStack() as stack:
        needed = stack.enter_context(Partitions(2 * ID_BYTES))
        _select(findings, frozenset(packs), needed)
        move = _Move(findings, stack.enter_context(UploadLanes()))
        try:
            done = 0
            for partition in needed:
                for pack_id, records in groupby(partition, key=lambda record: record[:ID_BYTES]):
                    move.take(pack_id, {record[ID_BYTES:] for record in records})
                    done += 1
                    advance("Rewriting packs", done, len(packs))
            return move.finish()
        except BaseException:
            move.abort()
            raise


def _select(findings: Findings, packs: frozenset[bytes], needed: Partitions) -> None:
    """Of each live chunk whose preferred place is in one of the packs: that pack, and its id."""
    for partition in range(_PARTITIONS):
        live = set(findings.marks.live[partition])
        for chunk_id, copies in findings.inventory.copies(partition):
            pack = findings.inventory.packs[copies[0].pack].id
            if pack in packs and chunk_id in live:
                needed.add(pack + chunk_id)


class _Move:
    """New packs that are being written, and the index that names them."""

    def __init__(self, findings: Findings, lanes: UploadLanes) -> None:
        domain = findings.domain
        self._domain = domain
        self._listed = findings.packs
        self._packs = RunPacks(domain.store, domain.keys.scope, domain.keys.current, lanes, domain.geometry)
        self._index = Index(domain.store, domain.keys, domain.geometry)
        self._index.guard(lambda: refuse_expired(findings.started, domain.store.time()))
        self._stored = 0

    def take(self, pack_id: bytes, wanted: set[bytes]) -> None:
        """Copy these chunks and nodes of one pack."""
        for frame in frames_with(self._domain, pack_id, self._listed[pack_id], wanted):
            add = self._packs.add_node if frame.kind is FrameKind.NODES else self._packs.add_chunks
            self._stored += add(frame)
            self._index.add(self._packs.uploaded())

    def finish(self) -> Moved:
        """Wait until all is in the store, and name it in the index."""
        self._packs.close()
        self._index.add(self._packs.uploaded(wait=True))
        folder = names.run_segments(self._domain.keys.scope)
        return Moved(self._stored, frozenset(folder + word for word in self._index.segments()))

    def abort(self) -> None:
        """Give up what has not arrived."""
        self._packs.abort()


def frames_with(domain: Domain, pack_id: bytes, stored: StoredPack, wanted: set[bytes]) -> Iterator[Frame]:
    """The pack's frames, with no other chunks than those wanted; IntegrityError if one of them is not to be had."""
    contents = read_contents(domain.store, domain.keys, pack_id, stored.size_bytes)
    name = names.pack(domain.keys.scope, pack_id)
    cipher = object_cipher(domain.keys.data_key(contents.key_set, name), ObjectType.PACK, pack_id)
    for _, group in groupby(contents.chunks, key=lambda chunk: chunk.frame):
        chunks = list(group)
        chosen = [chunk for chunk in chunks if chunk.id in wanted]
        if chosen:
            sealed = domain.store.get_range(name, chunks[0].offset, chunks[0].stored_bytes)
            plain = open_frame(cipher, chunks[0].frame, chunks[0].kind, sealed, name)
            yield _frame_of(chosen, plain, name) if len(chosen) < len(chunks) else _same(chunks, plain)
            wanted = wanted - {chunk.id for chunk in chosen}
    if wanted:
        raise IntegrityError(f"{name} lacks chunks that the index says are in it", found=min(wanted).hex())


def _same(chunks: Iterable[PackedChunk], plain: bytes) -> Frame:
    """The whole frame; it is sealed anew, but not compressed again."""
    held = [(chunk.id, chunk.length) for chunk in chunks]
    return Frame(next(iter(chunks)).kind, held, plain)


def _frame_of(chosen: list[PackedChunk], plain: bytes, name: str) -> Frame:
    contents = dict(chunks_of(plain, name))
    joined = b"".join(contents[chunk.id] for chunk in chosen)
    return Frame.of(chosen[0].kind, [(chunk.id, chunk.length) for chunk in chosen], joined)
