"""Changed blocks from a CSI driver: the client of Kubernetes' SnapshotMetadata service (KEP-3314)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from safehold.engine.changed_blocks.csi_stream import Ask, MetadataStream
from safehold.engine.changed_blocks.port import ChangedBlocks, Engine
from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError

_SERVICE = "/snapshotmetadata.SnapshotMetadata/"
_MOST_RESULTS = 8192
"""Tuples that are asked for per message; a driver may send fewer (ceph-csi: 128)."""
_MESSAGE_LIMIT_BYTES = 64 << 20
"""gRPC refuses more than 4 MiB by itself, which some 300,000 tuples in one message exceed."""
_STREAM_SECONDS = 540.0
"""Below the 10 minutes after which the sidecar cuts every stream; the next one goes on where this one ended."""
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES),
    # The service is in the cluster: a proxy for the outside world must never see the token.
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The stream decides itself how often it is tried; gRPC would do it behind its back.
    ("grpc.enable_retries", 0),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CsiSource:
    """A snapshot of a CSI volume, and the service that knows its blocks; nothing is connected before `open`."""

    address: str
    """host:port"""
    authority: str
    """PEM bundle; nothing else is trusted."""
    token_file: Path
    """Read anew for each stream: the kubelet replaces it before it expires."""
    namespace: str
    snapshot: str
    """The VolumeSnapshot in `namespace`."""
    base: str | None = None
    """The handle of the snapshot to compare with."""
    stream_seconds: float = _STREAM_SECONDS

    @property
    def engine(self) -> Engine:
        """CSI."""
        return "CSI"

    @contextmanager
    def open(self, size_bytes: int) -> Iterator[ChangedBlocks]:
        """The two questions, for a disk of this size."""
        if not self.authority.strip():
            # gRPC would then trust the public authorities instead.
            raise ChangedBlocksError("The SnapshotMetadataService names no certificate authority")
        credentials = grpc.ssl_channel_credentials(root_certificates=self.authority.encode())
        with grpc.secure_channel(self.address, credentials, options=_OPTIONS) as channel:
            yield _Questions(self, channel, size_bytes)


@dataclass(frozen=True, slots=True)
class _Questions:
    source: CsiSource
    channel: grpc.Channel
    size_bytes: int

    def allocated(self) -> Iterator[Extent]:
        """GetMetadataAllocated to its clean end."""
        call = self._call("GetMetadataAllocated", schema.GetMetadataAllocatedResponse.FromString)

        def ask(position: int) -> Iterator[Any]:
            request = schema.GetMetadataAllocatedRequest(
                security_token=self._token(),
                namespace=self.source.namespace,
                snapshot_name=self.source.snapshot,
                starting_offset=position,
                max_results=_MOST_RESULTS,
            )
            return call(request)

        return self._stream(ask)

    def changed(self) -> Iterator[Extent]:
        """GetMetadataDelta to its clean end."""
        call = self._call("GetMetadataDelta", schema.GetMetadataDeltaResponse.FromString)

        def ask(position: int) -> Iterator[Any]:
            request = schema.GetMetadataDeltaRequest(
                security_token=self._token(),
                namespace=self.source.namespace,
                base_snapshot_id=self.source.base or "",
                target_snapshot_name=self.source.snapshot,
                starting_offset=position,
                max_results=_MOST_RESULTS,
            )
            return call(request)

        return self._stream(ask)

    def _stream(self, ask: Ask) -> Iterator[Extent]:
        return MetadataStream(ask, self.size_bytes).extents()

    def _call(self, method: str, deserialize: Callable[[bytes], Any]) -> Callable[[Any], Iterator[Any]]:
        call: Callable[..., Iterator[Any]] = self.channel.unary_stream(
            _SERVICE + method,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=deserialize,
        )
        return lambda request: call(request, timeout=self.source.stream_seconds)

    def _token(self) -> str:
        try:
            return self.source.token_file.read_text().strip()
        except OSError as problem:
            raise ChangedBlocksError(
                "The token for the SnapshotMetadata service cannot be read", found=problem.strerror
            ) from problem
