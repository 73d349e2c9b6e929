"""Writing packs: chunks are sealed as they come and sent in parts while the pack grows (docs/format.md, section 5)."""

import struct
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine import names
from safehold.engine.geometry import Geometry
from safehold.engine.keys import KeySet
from safehold.engine.sealing import (
    HEADER_BYTES,
    Header,
    ObjectType,
    chunk_associated_data,
    new_salt,
    nonce,
    object_cipher,
)
from safehold.engine.store.base import Body, ObjectStore, PartialUpload

_TRAILER = struct.Struct(">Q8s")
_TRAILER_MAGIC = b"SAFEHEND"
UPLOAD_LANES = 4
"""Parts under way at once: with parts of 8 MiB enough for 3 Gbit/s at 80 ms, and 32 MiB of memory."""


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """Where one chunk is in its pack."""

    id: bytes
    frame: int
    offset: int
    stored_bytes: int
    length: int


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """A pack that is in the store."""

    id: bytes
    key_set: bytes
    length: int
    chunks: list[PackedChunk]
    lock_until: int = 0
    """Seconds of Unix time until which the store refuses to delete the pack; 0 without a lock."""


class UploadLanes:
    """A few threads that send. `submit` waits while all are busy, which holds back whoever produces."""

    def __init__(self, lanes: int = UPLOAD_LANES) -> None:
        self._executor = ThreadPoolExecutor(lanes, thread_name_prefix="upload")
        self._free = threading.BoundedSemaphore(lanes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def put(self, store: ObjectStore, name: str, body: Body) -> "Future[None]":
        """Send a whole object."""
        return self._submitted(lambda: store.put(name, body))

    def put_part(self, upload: PartialUpload, number: int, body: Body) -> "Future[None]":
        """Send one part."""
        return self._submitted(lambda: upload.put_part(number, body))

    def complete(self, upload: PartialUpload, parts: "list[Future[None]]") -> "Future[None]":
        """Complete the upload after its parts. They were submitted before, so they never wait for this one's lane."""

        def finish() -> None:
            for part in parts:
                part.result()
            upload.complete()

        return self._submitted(finish)

    def _submitted(self, call: Callable[[], None]) -> "Future[None]":
        self._free.acquire()
        future = self._executor.submit(call)
        future.add_done_callback(lambda _: self._free.release())
        return future


@dataclass(slots=True)
class _OpenPack:
    id: bytes
    cipher: AESGCM
    buffer: bytearray
    length: int = HEADER_BYTES
    chunks: list[PackedChunk] = field(default_factory=list)
    upload: PartialUpload | None = None
    parts: "list[Future[None]]" = field(default_factory=list)


class PackWriter:
    """Turns chunk bodies into packs of one type. Used by one thread."""

    def __init__(
        self,
        store: ObjectStore,
        scope: str,
        key_set: KeySet,
        pack_type: ObjectType,
        lanes: UploadLanes,
        geometry: Geometry,
    ) -> None:
        self._store = store
        self._scope = scope
        self._key_set = key_set
        self._type = pack_type
        self._lanes = lanes
        self._geometry = geometry
        self._open: _OpenPack | None = None
        self._closing: deque[tuple[FinishedPack, Future[None], PartialUpload | None]] = deque()

    def append(self, chunk_id: bytes, body: Body, length: int) -> int:
        """Seal one chunk of `length` bytes whose body is `body`; returns the bytes that it takes in the pack."""
        pack = self._open or self._begin()
        frame = len(pack.chunks)
        sealed = pack.cipher.encrypt(nonce(frame), body, chunk_associated_data(self._type, chunk_id, length))
        pack.chunks.append(PackedChunk(chunk_id, frame, pack.length, len(sealed), length))
        pack.buffer += sealed
        pack.length += len(sealed)
        if pack.length + _TRAILER.size >= self._geometry.pack_bytes:
            self.close_pack()
        else:
            self._send_full_parts(pack)
        return len(sealed)

    def close_pack(self) -> None:
        """End the open pack, if there is one; its upload goes on in the lanes."""
        pack, self._open = self._open, None
        if pack is None:
            return
        pack.length += _TRAILER.size
        pack.buffer += _TRAILER.pack(pack.length, _TRAILER_MAGIC)
        finished = FinishedPack(pack.id, self._key_set.id, pack.length, pack.chunks)
        if pack.upload is None and len(pack.buffer) <= self._geometry.part_bytes:
            future = self._lanes.put(self._store, names.pack(self._scope, pack.id), pack.buffer)
        else:
            self._send_full_parts(pack)
            if pack.buffer:
                self._send_part(pack, pack.buffer)
            assert pack.upload is not None
            future = self._lanes.complete(pack.upload, pack.parts)
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
        header = Header(type=self._type, key_set=self._key_set.id, salt=salt)
        self._open = _OpenPack(salt, object_cipher(self._key_set.data_key, self._type, salt), bytearray(header.pack()))
        return self._open

    def _send_full_parts(self, pack: _OpenPack) -> None:
        # All parts but the last have the same size: some stores insist on it.
        size = self._geometry.part_bytes
        while len(pack.buffer) > size:
            rest = pack.buffer[size:]
            del pack.buffer[size:]
            self._send_part(pack, pack.buffer)
            pack.buffer = rest

    def _send_part(self, pack: _OpenPack, body: bytearray) -> None:
        if pack.upload is None:
            pack.upload = self._store.start_upload(names.pack(self._scope, pack.id))
        pack.parts.append(self._lanes.put_part(pack.upload, len(pack.parts) + 1, body))
