"""The filters of open segments, outside of memory."""

import os
import tempfile
import threading
import weakref

from safehold.engine.index.segments import FINGERPRINT, FINGERPRINT_BYTES
from safehold.errors import VolumeError


class FilterFile:
    """Fingerprints in a temporary file without a name: the system keeps of it in memory what it can spare.

    50 million chunks take 150 MB here. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._end = 0
        self._lock = threading.Lock()

    def reserve(self, size_bytes: int) -> int:
        """Room for a segment's filter; returns where it begins."""
        with self._lock:
            if self._descriptor is None:
                try:
                    self._descriptor, path = tempfile.mkstemp(prefix="safehold-filters-")
                    os.unlink(path)  # noqa: PTH108 - a name that mkstemp gave
                except OSError as problem:
                    raise _no_room(problem) from problem
                weakref.finalize(self, os.close, self._descriptor)
            start, self._end = self._end, self._end + size_bytes
            return start

    def write(self, fingerprints: bytes, offset: int) -> None:
        """Keep a page."""
        assert self._descriptor is not None
        view = memoryview(fingerprints)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as problem:
            raise _no_room(problem) from problem

    def holds(self, chunk_id: bytes, offset: int, entries: int) -> bool:
        """Whether one of the fingerprints of a block, which begin at `offset`, is the id's."""
        assert self._descriptor is not None
        block = os.pread(self._descriptor, entries * FINGERPRINT_BYTES, offset)
        wanted = chunk_id[FINGERPRINT]
        at = block.find(wanted)
        while at > 0 and at % FINGERPRINT_BYTES:
            at = block.find(wanted, at + 1)
        return at >= 0


def _no_room(problem: OSError) -> VolumeError:
    return VolumeError(
        "The index's filter cannot be kept in the folder for temporary files",
        expected=f"{FINGERPRINT_BYTES} bytes for each chunk of the key domain",
        found=problem.strerror,
        remedy="make room there, or name another folder in TMPDIR",
    )
