"""How much of a map is written when 1 % of a full 1 TiB disk has changed: the engine's map builder over random ids.

No disk here could hold what such a map names. Prints one JSON object of byte counts.
"""

import hashlib
import json
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from safehold.engine.geometry import FORMAT_1, GIB, MIB
from safehold.engine.maps.tree import MapBuilder, slots_of
from safehold.engine.packing.chunks import ID_BYTES

_DISK_BYTES = 1024 * GIB
_CHANGED = 0.01
_RUN_BYTES = 64 * MIB
_STEP = 4096
"""Chunks that are generated at once."""


class _Nodes:
    """Keeps the names of nodes; `written_bytes` are of those that it has not seen in an earlier map."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self.total_bytes = 0
        self.written_bytes = 0

    def store(self, node: bytes) -> bytes:
        """The node's name."""
        name = hashlib.blake2b(node, digest_size=ID_BYTES).digest()
        self.total_bytes += len(node)
        if name[:8] not in self._known:
            self._known.add(name[:8])
            self.written_bytes += len(node)
        return name

    def build(self, slots: int, changed: Sequence[int]) -> int:
        """Bytes that the map with these chunks changed adds to what was written before."""
        before, self.total_bytes = self.written_bytes, 0
        builder = MapBuilder(slots, FORMAT_1.map_fanout, self.store)
        for ids in _ids(slots, changed):
            builder.append(ids)
        builder.finish()
        return self.written_bytes - before


def _ids(slots: int, changed: Sequence[int]) -> Iterator[bytes]:
    generator = random.Random(1)  # noqa: S311 - the same ids for every map, but for the changed ones
    others = random.Random(2)  # noqa: S311 - ids that the first map does not have
    for first in range(0, slots, _STEP):
        ids = bytearray(generator.randbytes(min(_STEP, slots - first) * ID_BYTES))
        for slot in changed[bisect_left(changed, first) : bisect_left(changed, first + _STEP)]:
            at = (slot - first) * ID_BYTES
            ids[at : at + ID_BYTES] = others.randbytes(ID_BYTES)
        yield bytes(ids)


def main() -> None:
    """Build the map, then that of each kind of change."""
    slots = slots_of(_DISK_BYTES, FORMAT_1.chunk_bytes)
    count = int(slots * _CHANGED)
    generator = random.Random(3)  # noqa: S311 - the same places in every run
    run = _RUN_BYTES // FORMAT_1.chunk_bytes
    starts = generator.sample(range(0, slots, run), count // run)
    in_runs = [slot for start in sorted(starts) for slot in range(start, start + run)]
    scattered = sorted(generator.sample(range(slots), count))
    nodes = _Nodes()
    nodes.build(slots, [])
    print(
        json.dumps(
            {
                "map_bytes": nodes.total_bytes,
                "written_in_runs_bytes": nodes.build(slots, in_runs),
                "written_scattered_bytes": nodes.build(slots, scattered),
                "data_scattered_bytes": count * FORMAT_1.chunk_bytes,
            }
        )
    )


if __name__ == "__main__":
    main()
