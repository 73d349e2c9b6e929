"""What the driver answers about its snapshots: Block volumes only, and only snapshots that it still has."""

from __future__ import annotations

from collections.abc import Generator

import grpc

from sandbox.csi.driver import Driver, Snapshot
from sandbox.csi.snapshot_metadata.extents import BlockType, Extent, allocated_extents, changed_extents
from sandbox.csi.snapshot_metadata.refusals import RefusalError


class Blocks:
    """The driver's side of both calls."""

    def __init__(self, driver: Driver, block_type: BlockType) -> None:
        self._driver = driver
        self._block_type = block_type

    def allocated(self, handle: str, start: int) -> tuple[int, Generator[list[Extent]]]:
        """The capacity in bytes, and what holds data from `start` on; raises RefusalError."""
        target = self._snapshot(handle, "the snapshot")
        _check(target, start)
        return target.size_bytes, allocated_extents(self._driver.snapshot_path(handle), start, self._block_type)

    def changed(self, base_handle: str, handle: str, start: int) -> tuple[int, Generator[list[Extent]]]:
        """The capacity in bytes, and what differs from the base from `start` on; raises RefusalError."""
        base = self._snapshot(base_handle, "the source snapshot")
        target = self._snapshot(handle, "the target snapshot")
        if base.volume_handle != target.volume_handle:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "snapshots don't belong to the same Volume")
        _check(target, start)
        paths = self._driver.snapshot_path(base_handle), self._driver.snapshot_path(handle)
        return target.size_bytes, changed_extents(*paths, start, self._block_type)

    def _snapshot(self, handle: str, what: str) -> Snapshot:
        snapshot = self._driver.find_snapshot(handle)
        if snapshot is None:
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"cannot find {what}")
        return snapshot


def _check(target: Snapshot, start: int) -> None:
    if target.mode != "Block":
        message = "source volume does not have block mode access type"
        raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
    if not 0 <= start < target.size_bytes:
        message = f"failed to seek to starting offset: {start} is not within the volume's {target.size_bytes} bytes"
        raise RefusalError(grpc.StatusCode.OUT_OF_RANGE, message)
