"""Writing packs: frames are sealed as they come and sent in parts while the pack grows (docs/format.md, section 5)."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine import names
from safehold.engine.backup.lanes import UploadLanes
from safehold.engine.geometry import Geometry
from safehold.engine.keys.rings import KeySet
from safehold.engine.keys.sealing import Header, ObjectType, new_salt, object_cipher
from safehold.engine.packing.contents import TRAILER_BYTES, Contents, FinishedPack, trailer
from safehold.engine.packing.frames import Frame
from safehold.engine.packing.parts import Part, PartSupply
from safehold.engine.store.base import ObjectStore, PartialUpload


@dataclass(slots=True)
class _OpenPack:
    id: bytes
    cipher: AESGCM
    part: Part
    """The one that fills; those before are under way."""
    contents: Contents = field(default_factory=Contents)
    upload: PartialUpload | None = None
    sent: "list[Future[None]]" = field(default_factory=list)


class PackWriter:
    """Turns frames into packs, one after the other. Used by one thread."""

    def __init__(self, store: ObjectStore, scope: str, key_set: KeySet, lanes: UploadLanes, geometry: Geometry) -> None:
        self._store = store
        self._scope = scope
        self._key_set = key_set
        self._lanes = lanes
        self._geometry = geometry
        self._supply = PartSupply(geometry.part_bytes)
        self._open: _OpenPack | None = None
        self._closing: deque[tuple[FinishedPack, Future[None], PartialUpload | None]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether a pack has been begun that is not full."""
        return self._open is not None

    def append(self, frame: Frame) -> int:
        """Seal a frame into the open pack; returns the bytes that it takes there."""
        pack = self._open or self._begin()
        size_bytes = frame.stored_bytes
        if size_bytes <= pack.part.room:
            frame.seal_into(pack.part.claim(size_bytes), pack.cipher, pack.contents.frames)
        else:
            self._write(pack, frame.sealed(pack.cipher, pack.contents.frames))
        pack.contents.add(frame, size_bytes)
        if pack.contents.end >= self._geometry.pack_bytes:
            self.close_pack()
        return size_bytes

    def close_pack(self) -> None:
        """End the open pack, if there is one; its upload goes on in the lanes."""
        pack, self._open = self._open, None
        if pack is None:
            return
        table = pack.contents.frame().sealed(pack.cipher, pack.contents.frames)
        before = pack.contents.end + len(table)
        self._write(pack, table + trailer(pack.contents.frames, len(table), before))
        finished = FinishedPack(pack.id, self._key_set.id, before + TRAILER_BYTES, pack.contents.chunks)
        if pack.upload is None:
            future = self._lanes.put(self._store, names.pack(self._scope, pack.id), pack.part.body())
        else:
            self._send_part(pack.upload, pack)
            future = self._lanes.complete(pack.upload, pack.sent)
        self._closing.append((finished, future, pack.upload))

    def uploaded(self, *, wait: bool = False) -> list[FinishedPack]:
        """The packs that arrived since the last call; with `wait` all. Raises what an upload raised."""
        arrived = []
        while self._closing and (wait or self._closing[0][1].done()):
            finished, future, _ = self._closing[0]
            future.result()
            self._closing.popleft()
            arrived.append(finished)
        return arrived

    def abort(self) -> None:
        """Give up what has not arrived, so that the store does not keep its parts."""
        uploads = [upload for _, _, upload in self._closing]
        if self._open:
            uploads.append(self._open.upload)
        self._closing.clear()
        self._open = None
        for upload in uploads:
            if upload:
                upload.abort()

    def _begin(self) -> _OpenPack:
        salt = new_salt()
        header = Header(type=ObjectType.PACK, key_set=self._key_set.id, salt=salt)
        cipher = object_cipher(self._key_set.data_key, ObjectType.PACK, salt)
        self._open = _OpenPack(salt, cipher, self._supply.fresh())
        self._write(self._open, header.pack())
        return self._open

    def _write(self, pack: _OpenPack, content: bytes) -> None:
        rest = pack.part.take(memoryview(content))
        while rest:
            self._send_full_part(pack)
            rest = pack.part.take(rest)

    def _send_full_part(self, pack: _OpenPack) -> None:
        # All parts but the last have the same size: some stores insist on it.
        if pack.upload is None:
            pack.upload = self._store.start_upload(names.pack(self._scope, pack.id))
        full = pack.part

        def give_back(_: "Future[None]") -> None:
            self._supply.give_back(full)

        self._send_part(pack.upload, pack).add_done_callback(give_back)
        pack.part = self._supply.fresh()

    def _send_part(self, upload: PartialUpload, pack: _OpenPack) -> "Future[None]":
        future = self._lanes.put_part(upload, len(pack.sent) + 1, pack.part.body())
        pack.sent.append(future)
        return future


class RunPacks:
    """The packs of one run: chunks and map nodes apart where there are many, together in its last pack where few.

    Nodes are kept back, up to one part, until it is known that they deserve a pack of their own; reading a large map
    then reads little else. Used by one thread.
    """

    def __init__(self, store: ObjectStore, scope: str, key_set: KeySet, lanes: UploadLanes, geometry: Geometry) -> None:
        self._chunks, self._nodes = (PackWriter(store, scope, key_set, lanes, geometry) for _ in range(2))
        self._few_bytes = geometry.part_bytes
        self._kept: list[Frame] = []
        self._kept_bytes = 0

    def add_chunks(self, frame: Frame) -> int:
        """Take new chunks; returns the bytes that they take in their pack."""
        return self._chunks.append(frame)

    def add_node(self, frame: Frame) -> int:
        """Take a new map node; returns the bytes that it takes in its pack."""
        stored = frame.stored_bytes
        self._kept.append(frame)
        self._kept_bytes += stored
        if self._nodes.is_open or self._kept_bytes > self._few_bytes:
            self._write_kept(self._nodes)
        return stored

    def close(self) -> None:
        """End all packs; their uploads go on."""
        self._write_kept(self._nodes if self._nodes.is_open else self._chunks)
        self._chunks.close_pack()
        self._nodes.close_pack()

    def uploaded(self, *, wait: bool = False) -> list[FinishedPack]:
        """The packs that arrived since the last call; with `wait` all. Raises what an upload raised."""
        return self._chunks.uploaded(wait=wait) + self._nodes.uploaded(wait=wait)

    def abort(self) -> None:
        """Give up what has not arrived."""
        self._kept.clear()
        self._chunks.abort()
        self._nodes.abort()

    def _write_kept(self, writer: PackWriter) -> None:
        for frame in self._kept:
            writer.append(frame)
        self._kept.clear()
        self._kept_bytes = 0
