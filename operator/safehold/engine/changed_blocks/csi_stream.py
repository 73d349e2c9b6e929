"""One answer of the SnapshotMetadata service: streams that end early are resumed, and only a clean end counts.

What each status code means for a client is not in the protocol; it was read in the sidecar (v1.1) and in drivers.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError

Ask = Callable[[int], Iterator[Any]]
"""Begin a stream at an offset; it gives the service's messages."""

_CODE = grpc.StatusCode
_PASSING = frozenset(
    {
        _CODE.UNAVAILABLE,
        _CODE.DEADLINE_EXCEEDED,
        _CODE.CANCELLED,
        _CODE.INTERNAL,
        _CODE.UNKNOWN,
        _CODE.ABORTED,
        _CODE.RESOURCE_EXHAUSTED,
    }
)
"""Another stream may succeed. UNAVAILABLE is also said of a VolumeSnapshot that is gone, so tries are counted."""
_WRONG_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "certificate", "No match found for server name", "handshake")
"""What gRPC says, beside UNAVAILABLE, when the server is not the one that the authority vouches for."""
_MOST_FAILURES = 4
"""In a row, without one range between them."""
_PATIENCE_SECONDS = 900.0
"""The longest time without a range; a service that hangs must not hold a backup for hours."""
_FIRST_PAUSE_SECONDS = 0.5
_KNOWN_TYPES = (schema.FIXED_LENGTH, schema.VARIABLE_LENGTH)


class MetadataStream:
    """The extents of one answer, for a disk of `size_bytes`; read once."""

    def __init__(self, ask: Ask, size_bytes: int, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._ask = ask
        self._size_bytes = size_bytes
        self._pause = pause
        self._position = 0
        self._block_type: int | None = None
        self._failures = 0
        self._tokens_refused = 0
        self._progress_at = time.monotonic()

    def extents(self) -> Iterator[Extent]:
        """All of them, to the clean end of a stream or, being in order, of the disk; else ChangedBlocksError."""
        while self._position < self._size_bytes:
            try:
                yield from self._one_stream()
            except grpc.RpcError as problem:
                self._bear(problem)
            else:
                return

    def _one_stream(self) -> Iterator[Extent]:
        resumed_at = self._position
        is_first = True
        for message in self._ask(resumed_at):
            self._check(message)
            for block in message.block_metadata:
                extent = Extent(block.byte_offset, block.size_bytes)
                # A resumed stream may repeat the range that the offset lies in.
                if is_first and extent.offset < resumed_at < extent.end:
                    extent = Extent(resumed_at, extent.end - resumed_at)
                is_first = False
                yield extent
                self._position = extent.end
                self._failures = self._tokens_refused = 0
                self._progress_at = time.monotonic()

    def _check(self, message: Any) -> None:
        if message.volume_capacity_bytes != self._size_bytes:
            raise ChangedBlocksError(
                "The SnapshotMetadata service speaks of a volume of another size",
                expected=f"{self._size_bytes} bytes",
                found=message.volume_capacity_bytes,
            )
        self._block_type = self._block_type or message.block_metadata_type
        if message.block_metadata_type not in _KNOWN_TYPES or message.block_metadata_type != self._block_type:
            raise ChangedBlocksError(
                "The SnapshotMetadata service changes or does not know its kind of blocks",
                expected="FIXED_LENGTH or VARIABLE_LENGTH throughout",
                found=message.block_metadata_type,
            )

    def _bear(self, problem: grpc.RpcError) -> None:
        """Wait before the next stream, or give up."""
        code, details = _status(problem)
        if code is _CODE.UNAUTHENTICATED and self._tokens_refused == 0:
            self._tokens_refused += 1  # the next stream reads the file again
            return
        if any(word in details for word in _WRONG_CERTIFICATE) and code is _CODE.UNAVAILABLE:
            raise ChangedBlocksError(
                "The SnapshotMetadata service is not the one that its object vouches for",
                expected="a certificate of the authority in spec.caCert, for the host in spec.address",
                found=details,
            ) from problem
        self._failures += 1
        late = time.monotonic() - self._progress_at > _PATIENCE_SECONDS
        if code not in _PASSING or self._failures > _MOST_FAILURES or late:
            raise ChangedBlocksError(
                f"The SnapshotMetadata service gave no whole answer; it ended at byte {self._position}",
                found=f"{code.name} {details}".strip(),
            ) from problem
        self._pause(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1))


def _status(problem: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Code and words; every error of a call is also a `grpc.Call`, which the types do not say."""
    if isinstance(problem, grpc.Call):
        return problem.code(), (problem.details() or "")[:300]
    return _CODE.UNKNOWN, str(problem)[:300]
