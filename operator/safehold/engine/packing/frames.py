"""Frames of packs: neighbouring chunks that are compressed and sealed together (docs/format.md, section 5)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from mmap import mmap

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.engine.keys.sealing import MAGIC, TAG_BYTES, VERSION, nonce
from safehold.engine.packing.chunks import ID_BYTES, Bytes, compress, decompress
from safehold.errors import IntegrityError

_ASSOCIATED = struct.Struct(">8sHH")
_COUNT = struct.Struct(">H")
_NAMED = struct.Struct(f">{ID_BYTES}sI")


class FrameKind(IntEnum):
    """What a frame of a pack holds; part of its associated data."""

    CHUNKS = 1
    NODES = 2
    CONTENTS = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """Chunks, or map nodes, ready to be sealed: ids and lengths, and all of it as the plain bytes of a frame."""

    kind: FrameKind
    chunks: Sequence[tuple[bytes, int]]
    plain: bytes

    @classmethod
    def of(cls, kind: FrameKind, chunks: Sequence[tuple[bytes, int]], content: Bytes) -> "Frame":
        """The frame of chunks of these ids and lengths, whose contents are joined. Compresses, so it takes its time."""
        directory = b"".join(_NAMED.pack(*each) for each in chunks)
        return cls(kind, chunks, b"".join((_COUNT.pack(len(chunks)), directory, compress(content))))

    def sealed(self, cipher: AESGCM, number: int) -> bytes:
        """The frame as it is stored, as a pack's n-th."""
        return cipher.encrypt(nonce(number), self.plain, associated_data(self.kind))

    def seal_into(self, place: memoryview, cipher: AESGCM, number: int) -> None:
        """The same, written to a place of `stored_bytes`."""
        cipher.encrypt_into(nonce(number), self.plain, associated_data(self.kind), place)

    @property
    def stored_bytes(self) -> int:
        """What it takes in a pack."""
        return len(self.plain) + TAG_BYTES


def associated_data(kind: FrameKind) -> bytes:
    """What a frame of a pack is bound to, beyond the pack's own key and the frame's number."""
    return _ASSOCIATED.pack(MAGIC, VERSION, kind)


def open_frame(cipher: AESGCM, number: int, kind: FrameKind, sealed: Bytes, where: str) -> bytes:
    """The plain bytes of a pack's n-th frame; IntegrityError says `where` if a single bit differs."""
    try:
        return cipher.decrypt(nonce(number), sealed, associated_data(kind))
    except InvalidTag:
        raise IntegrityError(f"{where} is damaged", found=f"frame {number} does not open") from None


class FrameBuffer:
    """Memory that one frame after the other is unpacked into. It begins with a page, as disks like to have it."""

    def __init__(self) -> None:
        self._pages = memoryview(bytearray())

    def take(self, size_bytes: int) -> memoryview:
        """Room for this many bytes, from the start of a page; what was there before is overwritten."""
        if size_bytes > len(self._pages):
            self._pages = memoryview(mmap(-1, size_bytes))
        return self._pages[:size_bytes]


def chunks_of(plain: bytes, where: str, buffer: FrameBuffer | None = None) -> Iterator[tuple[bytes, memoryview]]:
    """The ids and contents that a frame's plain bytes hold, in their order, without a copy of each.

    With `buffer` the contents are in it, until its next frame.
    """
    (count,) = _COUNT.unpack_from(plain)
    body_at = _COUNT.size + count * _NAMED.size
    named = list(_NAMED.iter_unpack(plain[_COUNT.size : body_at]))
    contents = (buffer or FrameBuffer()).take(sum(length for _, length in named))
    decompress(memoryview(plain)[body_at:], contents, where)
    at = 0
    for chunk_id, length in named:
        yield chunk_id, contents[at : at + length]
        at += length
