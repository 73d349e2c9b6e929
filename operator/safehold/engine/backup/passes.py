"""Ways over one disk: all of it, what is allocated, what changed; each ends with the map of the whole volume."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from safehold.engine.changed_blocks.asking import Answer
from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.scan import Batch, ScanPlan, scan
from safehold.engine.disks.volumes import Extent, ReadableDisk
from safehold.engine.geometry import Geometry
from safehold.engine.maps.paths import MapPaths
from safehold.engine.maps.tree import MapBuilder, MapCursor, MapReader, VolumeMap, slots_of
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID


class Keeper(Protocol):
    """What keeps a pass's findings: the run that it belongs to."""

    @property
    def stop(self) -> threading.Event:
        """Set when the run is to end early."""
        ...

    def plan(self, previous: MapCursor, *, only: TouchedChunks | None = None) -> ScanPlan:
        """How to scan beside what was before."""
        ...

    def keep_chunks(self, batch: Batch) -> None:
        """Pack what is new of a batch."""
        ...

    def keep_node(self, node: bytes, previous: MapReader | MapPaths | None) -> bytes:
        """Name a node of the map, and pack it if it is new."""
        ...

    def passed(self, slots: int) -> None:
        """So many chunks more are done."""
        ...


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a pass has read, found changed, and found changed although the answer kept silent, in bytes."""

    bytes_read: int = 0
    bytes_changed: int = 0
    bytes_unannounced: int = 0


class Passes:
    """The passes over one disk, beside the parent's map of it where there is one to compare with."""

    def __init__(self, keeper: Keeper, disk: ReadableDisk, previous: MapReader | None, geometry: Geometry) -> None:
        self._keeper = keeper
        self._disk = disk
        self._previous = previous
        self._geometry = geometry
        self._slots = slots_of(disk.size_bytes, geometry.chunk_bytes)
        self.findings = Findings()

    @property
    def has_previous(self) -> bool:
        """Whether there is a map to compare with."""
        return self._previous is not None

    def scan(self) -> VolumeMap:
        """Read wherever the disk says that data may be."""
        return self._read_all(self._disk)

    def follow(self, answer: Answer) -> VolumeMap:
        """Read what the answer touches, each chunk once, and nothing else."""
        if answer.since_base and self._previous:
            return self._read_changed(answer.touched, self._previous)
        return self._read_all(AllocatedDisk(self._disk, answer.touched))

    def verify(self, answer: Answer) -> VolumeMap:
        """Read all, and count what is not as the answer says. The map is of what was read: the answer's, corrected."""
        return self._read_all(self._disk, answer)

    def _read_all(self, disk: ReadableDisk, answer: Answer | None = None) -> VolumeMap:
        previous = self._previous
        builder = self._builder(previous)
        for batch in scan(disk, self._keeper.plan(MapCursor(previous))):
            self._take(batch, builder)
            if answer:
                self.findings.bytes_unannounced += sum(
                    self._bytes_at(slot) for slot in _contradicting(batch, answer) if slot not in answer.touched
                )
        return builder.finish()

    def _read_changed(self, touched: TouchedChunks, previous: MapReader) -> VolumeMap:
        paths = MapPaths(previous, touched)
        builder = self._builder(paths)
        for batch in scan(self._disk, self._keeper.plan(MapCursor(paths), only=touched)):
            self._inherit(builder, paths, batch.first)
            self._take(batch, builder)
        self._inherit(builder, paths, self._slots)
        return builder.finish()

    def _inherit(self, builder: MapBuilder, paths: MapPaths, end: int) -> None:
        self._keeper.passed(end - builder.taken)
        builder.keep(end - builder.taken, paths)

    def _take(self, batch: Batch, builder: MapBuilder) -> None:
        self._keeper.keep_chunks(batch)
        if batch.ids:
            builder.append(batch.ids)
        else:
            builder.append_zeros(batch.slots)
        self.findings.bytes_read += batch.bytes_read
        self.findings.bytes_changed += batch.bytes_changed
        self._keeper.passed(batch.slots)

    def _builder(self, previous: MapReader | MapPaths | None) -> MapBuilder:
        return MapBuilder(self._slots, self._geometry.map_fanout, lambda node: self._keeper.keep_node(node, previous))

    def _bytes_at(self, slot: int) -> int:
        offset = slot * self._geometry.chunk_bytes
        return min(self._geometry.chunk_bytes, self._disk.size_bytes - offset)


class AllocatedDisk:
    """A disk of which only what a service calls allocated is read."""

    def __init__(self, disk: ReadableDisk, allocated: TouchedChunks) -> None:
        self._disk = disk
        self._allocated = allocated

    @property
    def size_bytes(self) -> int:
        """The disk's."""
        return self._disk.size_bytes

    def data_extents(self) -> Iterator[Extent]:
        """The allocated ranges, widened to whole chunks."""
        return self._allocated.extents()

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Read the disk."""
        self._disk.read_into(buffers, offset)


def _contradicting(batch: Batch, answer: Answer) -> Iterator[int]:
    """Slots of a batch that an answer which does not touch them is wrong about."""
    if answer.since_base:
        return (slot for slot, _ in batch.changed)
    ids = (batch.ids[at : at + ID_BYTES] for at in range(0, len(batch.ids), ID_BYTES))
    return (batch.first + number for number, chunk_id in enumerate(ids) if chunk_id != ZERO_ID)
