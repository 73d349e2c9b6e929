"""A disk that KubeVirt serves from a VirtualMachineBackup in pull mode: its bytes, and its changed blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Self

from safehold.engine.changed_blocks.kubevirt_connection import PATIENCE_SECONDS, PullConnection, PullEndpoint
from safehold.engine.changed_blocks.kubevirt_map import PullMap
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError, VolumeError

_LARGEST_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class PulledChanges:
    """Who is asked for the changed blocks of one disk. `base` is the checkpoint of an incremental backup."""

    endpoint: PullEndpoint
    base: str | None
    patience_seconds: float = PATIENCE_SECONDS

    @property
    def engine(self) -> Literal["KubeVirt"]:
        """What the point and the status call it."""
        return "KubeVirt"

    @contextmanager
    def open(self, size_bytes: int) -> Iterator[PullMap]:
        """The disk's map, which must end where the disk of this size does."""
        connection = PullConnection(self.endpoint, patience_seconds=self.patience_seconds)
        try:
            yield PullMap(connection, is_delta=self.base is not None, expected_bytes=size_bytes)
        finally:
            connection.close()

    def disk(self) -> "PulledDisk":
        """The bytes of the same disk."""
        return PulledDisk(self)


class PulledDisk:
    """A disk at the backup's point in time, which stays as it is while the guest goes on writing.

    Its bytes do not depend on what the map says about them. KubeVirt tells the size nowhere but by the map's end, so it
    is taken from there once the disk itself confirms it, and is measured where it does not.
    """

    def __init__(self, changes: PulledChanges) -> None:
        self._connection = PullConnection(changes.endpoint, patience_seconds=changes.patience_seconds)
        self._url = changes.endpoint.data_url
        self.size_bytes = self._mapped_size(is_delta=changes.base is not None) or self._measured_size()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def data_extents(self) -> Iterator[Extent]:
        """The whole disk."""
        yield Extent(0, self.size_bytes)

    def read_into(self, buffers: list[memoryview], offset: int) -> None:
        """Fill the buffers, one after the other, from `offset`. Called by several threads."""
        for buffer in buffers:
            got = self._connection.read_into(buffer, offset)
            if got < len(buffer):
                raise VolumeError(
                    f"{self._url} ended while it was read", expected=f"{self.size_bytes} bytes", found=offset + got
                )
            offset += len(buffer)

    def _mapped_size(self, *, is_delta: bool) -> int | None:
        """Where the map ends, if the disk ends there too: a map that was cut must not cut the disk.

        Of two bytes that are asked for from the last one on, one comes: what is asked beyond the end is left out.
        """
        try:
            size = PullMap(self._connection, is_delta=is_delta).size_bytes()
        except ChangedBlocksError:
            return None
        return size if self._connection.read_into(memoryview(bytearray(2)), size - 1) == 1 else None

    def _measured_size(self) -> int:
        """The first offset at which the server says, in a whole answer, that no byte is.

        An error is no such answer, so a disk never becomes shorter by one.
        """
        inside, outside = 0, _LARGEST_BYTES
        probe = memoryview(bytearray(1))
        while inside < outside:
            middle = (inside + outside) // 2
            if self._connection.read_into(probe, middle):
                inside = middle + 1
            else:
                outside = middle
        if inside == 0:
            raise VolumeError(f"The disk at {self._url} is empty", remedy="an empty disk never becomes a restore point")
        return inside
