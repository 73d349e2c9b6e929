"""When reads follow each other, what comes next is fetched before it is asked for."""

import threading
from collections import OrderedDict

from safehold.engine.geometry import KIB, MIB

_LEAST_BYTES = 512 * KIB
"""What must have been read in a row before anything is fetched ahead: a small file is no reason."""
_MOST_BYTES = 8 * MIB
_SEQUENCES = 16
"""Files that are read side by side."""


class ReadAhead:
    """Watches reads. As much is fetched ahead as has been read in a row, within a bound. Safe from several threads."""

    def __init__(self) -> None:
        self._sequences: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """Where a next read would go on: where its sequence began, and how far has been fetched for it."""
        self._lock = threading.Lock()

    def after(self, offset: int, end: int) -> tuple[int, int] | None:
        """What is worth fetching once this has been read, as its start and end; None if nothing is."""
        with self._lock:
            began, fetched = self._sequences.pop(offset, (offset, end))
            fetched = max(fetched, end)
            ahead = min(end - began, _MOST_BYTES)
            # Not before half of what was fetched is used up, or every read would lead to a small request.
            is_due = began < offset and ahead >= _LEAST_BYTES and fetched - end <= ahead // 2
            self._sequences[end] = (began, end + ahead if is_due else fetched)
            if len(self._sequences) > _SEQUENCES:
                self._sequences.popitem(last=False)
        return (fetched, end + ahead) if is_due else None
