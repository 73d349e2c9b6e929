"""A SnapshotMetadata service over TLS that answers as a test scripts it, stream by stream."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from safehold.engine.changed_blocks.csi import CsiSource
from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from sandbox.certificates import serving_files

MIB = 1 << 20
DISK = 64 * MIB


@dataclass(frozen=True, slots=True)
class Fails:
    """The stream ends with this status."""

    code: grpc.StatusCode
    details: str = ""


Line = list[tuple[int, int]] | Fails | Any
"""A message of these (offset, size), a failure, or a message as it is."""


@dataclass(slots=True)
class Service:
    """`streams` is what each stream sends, in order; the last one serves all that follow."""

    streams: list[list[Line]]
    requests: list[Any] = field(default_factory=list)
    on_request: Callable[[], object] = lambda: None

    def answer(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """The lines of the next stream."""
        self.requests.append(request)
        self.on_request()
        lines = self.streams[min(len(self.requests), len(self.streams)) - 1]
        for line in lines:
            if isinstance(line, Fails):
                context.abort(line.code, line.details)
            yield message(line) if isinstance(line, list) else line


def message(blocks: list[tuple[int, int]], capacity: int = DISK, block_type: int = schema.VARIABLE_LENGTH) -> Any:
    """One message; both kinds of answer have the same fields."""
    metadata = [schema.BlockMetadata(byte_offset=offset, size_bytes=size) for offset, size in blocks]
    return schema.GetMetadataDeltaResponse(
        block_metadata_type=schema.BlockMetadataType.Name(block_type),
        volume_capacity_bytes=capacity,
        block_metadata=metadata,
    )


@contextmanager
def serving(service: Service, folder: Path, **source: Any) -> Iterator[CsiSource]:
    """The service on a free port, and a source that knows it and has a token."""
    files = serving_files(folder / "pki", "snapshot-metadata")
    token = folder / "token"
    token.write_text("first")
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_handlers(service),))
    credentials = grpc.ssl_server_credentials([(files.key.read_bytes(), files.certificate.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    settings: dict[str, Any] = {
        "address": f"127.0.0.1:{port}",
        "authority": files.authority,
        "token_file": token,
        "namespace": "safehold",
        "snapshot": "pair",
        "base": "physical-1",
    }
    try:
        yield CsiSource(**settings | source)
    finally:
        server.stop(None).wait()


def _handlers(service: Service) -> grpc.GenericRpcHandler:
    def handler(request: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(
            service.answer,
            request_deserializer=request.FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )

    methods = {
        "GetMetadataAllocated": handler(schema.GetMetadataAllocatedRequest),
        "GetMetadataDelta": handler(schema.GetMetadataDeltaRequest),
    }
    return grpc.method_handlers_generic_handler("snapshotmetadata.SnapshotMetadata", methods)
