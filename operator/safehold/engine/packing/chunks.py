"""Chunks: their ids, and the bodies that packs keep of them (docs/format.md, section 5)."""

import threading

import zstandard
from blake3 import blake3

from safehold.errors import IntegrityError

ID_BYTES = 32
ZERO_ID = bytes(ID_BYTES)
"""The id of a chunk, or of a map node, that holds zeros only. Nothing is stored for it."""
_COMPRESSION = zstandard.ZstdCompressionParameters(
    window_log=20,
    hash_log=16,
    chain_log=15,
    search_log=1,
    min_match=5,
    target_length=0,
    strategy=zstandard.STRATEGY_FAST,
)
"""Near zstd's level 2, with matches from 5 bytes on: for a root file system in frames of 1 MiB the fastest that stores
less than 1.05 times what restic does, whose bytes vary with its random cuts (docs/chunk-size.md)."""
_WORTH_IT = 64
"""A body that is not smaller by this fraction is kept as it is: it costs nothing to read back."""
_SAMPLES = 8
_SAMPLE_BYTES = 2048
"""What is compressed of a large body to learn whether the rest is worth it: a hundredth of the time of all of it."""

Bytes = bytes | bytearray | memoryview
_per_thread = threading.local()


def chunk_id(content: Bytes, key: bytes) -> bytes:
    """The id of content under a domain's id key (or node key)."""
    return blake3(content, key=key).digest()


def compress(content: Bytes) -> Bytes:
    """The body that is kept: a zstd frame, or the content itself where compression does not pay."""
    if not hasattr(_per_thread, "compressor"):
        _per_thread.compressor = zstandard.ZstdCompressor(compression_params=_COMPRESSION)
    if _looks_incompressible(content):
        return content
    frame: bytes = _per_thread.compressor.compress(content)
    return frame if len(frame) < _worth(len(content)) else content


def _worth(length: int) -> int:
    return length - length // _WORTH_IT


def _looks_incompressible(content: Bytes) -> bool:
    """Whether samples from all over a large body do not compress. What is overlooked costs space, never data."""
    step = len(content) // _SAMPLES
    if step < 2 * _SAMPLE_BYTES:
        return False
    sample = b"".join(content[at : at + _SAMPLE_BYTES] for at in range(0, step * _SAMPLES, step))
    return len(_per_thread.compressor.compress(sample)) >= _worth(len(sample))


def decompress(body: Bytes, content: memoryview, name: str) -> None:
    """Fill `content` with what the body holds; `name` says in an error where the body was."""
    if len(body) == len(content):
        content[:] = body
        return
    if not hasattr(_per_thread, "decompressor"):
        _per_thread.decompressor = zstandard.ZstdDecompressor()
    try:
        with _per_thread.decompressor.stream_reader(body) as reader:
            # As the body is whole and the place large enough, zstd writes there at once, without a buffer of its own.
            length = reader.readinto(content)
            length += len(reader.read(1)) if length == len(content) else 0
    except zstandard.ZstdError as problem:
        raise IntegrityError(f"A chunk in {name} does not decompress", found=str(problem)) from problem
    if length != len(content):
        raise IntegrityError(f"A chunk in {name} has another length", expected=len(content), found=length)
