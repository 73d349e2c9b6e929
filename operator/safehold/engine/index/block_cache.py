"""Blocks of index segments that were used lately, held within a bound."""

from collections import OrderedDict
from threading import Lock


class BlockCache:
    """The blocks that were used last, within a number of bytes. Safe to use from several threads."""

    def __init__(self, size_bytes: int) -> None:
        self._free = size_bytes
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, int]) -> bytes | None:
        """The block, if it is still held."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: tuple[str, int], block: bytes) -> None:
        """Hold the block, and let go what was not used for longest."""
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = block
                self._free -= len(block)
            while self._free < 0:
                self._free += len(self._blocks.popitem(last=False)[1])
