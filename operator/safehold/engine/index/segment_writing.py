"""Writing an index segment of any length from sorted rows, in flat memory (docs/format.md, section 7)."""

from collections.abc import Iterable
from itertools import islice
from tempfile import SpooledTemporaryFile

from safehold.engine.geometry import MIB, Geometry
from safehold.engine.index.segments import (
    FENCE_BYTES,
    FINGERPRINT,
    FINGERPRINT_BYTES,
    FRONT_FRAME,
    PAGE_BLOCKS,
    Front,
    Layout,
    PackRow,
    SegmentEntry,
    pack_trailer,
)
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import Header, ObjectType, SealedObject, new_salt
from safehold.engine.store.base import ObjectStore, PartialUpload

_HELD_FILTER_BYTES = MIB
"""A longer filter waits on disk until the blocks are written: 50 million chunks have 150 MB of it."""


def write_segment(
    store: ObjectStore, keys: KeyRing, geometry: Geometry, name: str, rows: Iterable[bytes], packs: list[PackRow]
) -> SegmentEntry:
    """Write the segment `name` of these rows, sorted by id, which may fill `packs` while they are taken.

    Nothing is left behind when the rows or the store fail: a segment exists whole or not at all.
    """
    sending = _Sending(store, name, geometry.part_bytes)
    try:
        return _Writing(keys, geometry, name, sending).run(rows, packs)
    except BaseException:
        sending.abort()
        raise


class _Writing:
    """One segment on its way: sealed block by block; the filter waits beside it."""

    def __init__(self, keys: KeyRing, geometry: Geometry, name: str, sending: "_Sending") -> None:
        key_set = keys.current
        header = Header(type=ObjectType.SEGMENT, key_set=key_set.id, salt=new_salt())
        self._header = header.pack()
        self._name = name
        self._sealed = SealedObject(name, header, key_set.data_key)
        self._block_entries = geometry.block_entries
        self._sending = sending

    def run(self, rows: Iterable[bytes], packs: list[PackRow]) -> SegmentEntry:
        self._sending.append(self._header)
        with SpooledTemporaryFile(max_size=_HELD_FILTER_BYTES) as fingerprints:
            entries, fences = self._write_blocks(rows, fingerprints)
            layout = Layout(entries, self._block_entries)
            self._write_filter(layout, fingerprints)
        front = Front(layout, b"".join(pack.packed() for pack in packs), fences)
        sealed = self._sealed.seal_frame(FRONT_FRAME, front.packed())
        self._sending.append(sealed)
        length = self._sending.length + len(pack_trailer(self._header, 0, 0))
        self._sending.append(pack_trailer(self._header, length, len(sealed)))
        self._sending.finish()
        return SegmentEntry(self._name, length)

    def _write_blocks(self, rows: Iterable[bytes], fingerprints: "SpooledTemporaryFile[bytes]") -> tuple[int, bytes]:
        fences = bytearray()
        entries = 0
        remaining = iter(rows)
        while block := list(islice(remaining, self._block_entries)):
            fences += block[0][:FENCE_BYTES]
            entries += len(block)
            fingerprints.write(b"".join([row[FINGERPRINT] for row in block]))
            self._sending.append(self._sealed.seal_frame(len(fences) // FENCE_BYTES, b"".join(block)))
        return entries, bytes(fences)

    def _write_filter(self, layout: Layout, fingerprints: "SpooledTemporaryFile[bytes]") -> None:
        fingerprints.seek(0)
        for page in range(layout.pages):
            plain = fingerprints.read(PAGE_BLOCKS * self._block_entries * FINGERPRINT_BYTES)
            self._sending.append(self._sealed.seal_frame(layout.page_frame(page), plain))


class _Sending:
    """An object that is sent while it grows: in one PUT if it is short, in parts of one size if not."""

    def __init__(self, store: ObjectStore, name: str, part_bytes: int) -> None:
        self._store = store
        self._name = name
        self._part_bytes = part_bytes
        self._buffer = bytearray()
        self._upload: PartialUpload | None = None
        self._parts = 0
        self.length = 0

    def append(self, data: bytes) -> None:
        """The next bytes."""
        self._buffer += data
        self.length += len(data)
        while len(self._buffer) > self._part_bytes:
            self._send(bytes(self._buffer[: self._part_bytes]))
            del self._buffer[: self._part_bytes]

    def finish(self) -> None:
        """Make the object exist."""
        if self._upload is None:
            self._store.put(self._name, self._buffer)
            return
        self._send(bytes(self._buffer))
        self._upload.complete()

    def abort(self) -> None:
        """Let the store drop what was sent."""
        if self._upload is not None:
            self._upload.abort()

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            self._upload = self._store.start_upload(self._name)
        self._parts += 1
        self._upload.put_part(self._parts, part)
