"""Asking a source of changed blocks one of its two questions, and what came of it."""

import threading
from dataclasses import dataclass

from safehold.engine.changed_blocks.collecting import collect
from safehold.engine.changed_blocks.port import ChangeSource
from safehold.engine.changed_blocks.touched import TouchedChunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. `since_base`: untouched chunks are as in the parent point; otherwise they are zeros."""

    touched: TouchedChunks
    since_base: bool


def ask(source: ChangeSource, *, since_base: bool, size_bytes: int, chunk_bytes: int, stop: threading.Event) -> Answer:
    """What changed since the base, or what is allocated; ChangedBlocksError if there is no answer to rely on."""
    with source.open(size_bytes) as blocks:
        extents = blocks.changed() if since_base else blocks.allocated()
        touched = collect(extents, size_bytes=size_bytes, chunk_bytes=chunk_bytes, stop=stop)
    return Answer(touched=touched, since_base=since_base)
