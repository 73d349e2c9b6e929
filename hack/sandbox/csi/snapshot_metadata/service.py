"""The gRPC service over TLS, and the SnapshotMetadataService object by which clients find and trust it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from sandbox.certificates import serving_files
from sandbox.cluster.client import Cluster
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import SNAPSHOT_METADATA_SERVICE
from sandbox.csi.driver import Driver
from sandbox.csi.names import DRIVER
from sandbox.csi.snapshot_metadata.access import check_access
from sandbox.csi.snapshot_metadata.blocks import Blocks
from sandbox.csi.snapshot_metadata.extents import BlockType, Extent
from sandbox.csi.snapshot_metadata.refusals import RefusalError
from sandbox.csi.snapshot_metadata.targets import handle_of

SERVICE = "snapshotmetadata.SnapshotMetadata"
_AUDIENCE = DRIVER
"""As ceph-csi-operator has it."""
_DEFAULT_RESULTS = 256
_STOP_SECONDS = 2.0
"""What open streams get to end when the service stops."""
_BLOCK_TYPES = {"fixed": schema.FIXED_LENGTH, "variable": schema.VARIABLE_LENGTH}

_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """`block_type` is what the driver tells; `max_stream_seconds` is the sidecar's --max-streaming-duration-min."""

    block_type: BlockType = "variable"
    max_stream_seconds: float = 600.0


@asynccontextmanager
async def serving_metadata(
    cluster: Cluster, driver: Driver, folder: Path, settings: ServiceSettings
) -> AsyncIterator[None]:
    """The service for the time of the context, with its certificates in `folder`; entered once it can be found."""
    files = serving_files(folder, "snapshot-metadata")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(SnapshotMetadata(cluster, driver, settings)),))
    credentials = grpc.ssl_server_credentials([(files.key.read_bytes(), files.certificate.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        await _publish(cluster, f"127.0.0.1:{port}", files.authority)
        yield
    finally:
        await server.stop(_STOP_SECONDS)


async def withdraw(cluster: Cluster) -> None:
    """Makes the driver one without changed blocks, as most are."""
    await cluster.delete(SNAPSHOT_METADATA_SERVICE, DRIVER)


async def _publish(cluster: Cluster, address: str, authority: str) -> None:
    bundle = base64.b64encode(authority.encode()).decode()
    spec = {"address": address, "audience": _AUDIENCE, "caCert": bundle}
    await cluster.apply(SNAPSHOT_METADATA_SERVICE, {"metadata": {"name": DRIVER}, "spec": spec})


class SnapshotMetadata:
    """Both calls: who asks, for what, then the blocks. A stream that takes too long is cut, as by the sidecar."""

    def __init__(self, cluster: Cluster, driver: Driver, settings: ServiceSettings) -> None:
        self._cluster = cluster
        self._blocks = Blocks(driver, settings.block_type)
        self._settings = settings

    async def allocated(self, request: schema.GetMetadataAllocatedRequest, context: _Context) -> None:
        """GetMetadataAllocated."""
        async with self._stream(context):
            _check_arguments(request, {"snapshotName cannot be empty": request.snapshot_name})
            handle = await self._handle(request, request.snapshot_name)
            capacity, found = self._blocks.allocated(handle, request.starting_offset)
            async with _messages(found, request.max_results) as portions:
                async for blocks in portions:
                    await context.write(
                        schema.GetMetadataAllocatedResponse(
                            block_metadata_type=_BLOCK_TYPES[self._settings.block_type],
                            volume_capacity_bytes=capacity,
                            block_metadata=blocks,
                        )
                    )

    async def delta(self, request: schema.GetMetadataDeltaRequest, context: _Context) -> None:
        """GetMetadataDelta. The base is not checked beyond what the driver does."""
        async with self._stream(context):
            required = {
                "baseSnapshotId cannot be empty": request.base_snapshot_id,
                "targetSnapshotName cannot be empty": request.target_snapshot_name,
            }
            _check_arguments(request, required)
            handle = await self._handle(request, request.target_snapshot_name)
            capacity, found = self._blocks.changed(request.base_snapshot_id, handle, request.starting_offset)
            async with _messages(found, request.max_results) as portions:
                async for blocks in portions:
                    await context.write(
                        schema.GetMetadataDeltaResponse(
                            block_metadata_type=_BLOCK_TYPES[self._settings.block_type],
                            volume_capacity_bytes=capacity,
                            block_metadata=blocks,
                        )
                    )

    async def _handle(
        self, request: schema.GetMetadataAllocatedRequest | schema.GetMetadataDeltaRequest, name: str
    ) -> str:
        await check_access(self._cluster, request.security_token, request.namespace)
        return await handle_of(self._cluster, request.namespace, name)

    @asynccontextmanager
    async def _stream(self, context: _Context) -> AsyncIterator[None]:
        """Gives the stream its longest time, and ends it with the status of what goes wrong in it."""
        try:
            async with asyncio.timeout(self._settings.max_stream_seconds):
                yield
        except RefusalError as refusal:
            await context.abort(refusal.code, str(refusal))
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "context deadline exceeded")
        except (ApiError, aiohttp.ClientError, OSError) as error:
            await context.abort(grpc.StatusCode.INTERNAL, f"failed to get response from CSI driver: {error}")


def _handlers(service: SnapshotMetadata) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "GetMetadataAllocated": grpc.unary_stream_rpc_method_handler(
                service.allocated,
                request_deserializer=schema.GetMetadataAllocatedRequest.FromString,
                response_serializer=schema.GetMetadataAllocatedResponse.SerializeToString,
            ),
            "GetMetadataDelta": grpc.unary_stream_rpc_method_handler(
                service.delta,
                request_deserializer=schema.GetMetadataDeltaRequest.FromString,
                response_serializer=schema.GetMetadataDeltaResponse.SerializeToString,
            ),
        },
    )


def _check_arguments(
    request: schema.GetMetadataAllocatedRequest | schema.GetMetadataDeltaRequest, named: Mapping[str, str]
) -> None:
    required = {
        "securityToken is missing": request.security_token,
        "namespace parameter cannot be empty": request.namespace,
        **named,
        "maxResults cannot be negative": "" if request.max_results < 0 else "given",
    }
    for complaint, value in required.items():
        if not value:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, complaint)


@asynccontextmanager
async def _messages(
    found: Generator[list[Extent]], max_results: int
) -> AsyncIterator[AsyncIterator[list[schema.BlockMetadata]]]:
    """The blocks in portions of at most `max_results`; the files that they are read from are closed at the end."""
    async with (
        aclosing(_steps(found)) as steps,
        aclosing(_portions(steps, max_results or _DEFAULT_RESULTS)) as portions,
    ):
        yield portions


async def _steps(found: Generator[list[Extent]]) -> AsyncGenerator[list[Extent]]:
    """What is found, one step at a time, in a thread; a step that is under way ends before the files are closed."""
    with closing(found):
        while True:
            step = asyncio.create_task(asyncio.to_thread(next, found, None))
            try:
                extents = await asyncio.shield(step)
            except asyncio.CancelledError:
                await step
                raise
            if extents is None:
                return
            yield extents


async def _portions(steps: AsyncIterator[list[Extent]], most: int) -> AsyncGenerator[list[schema.BlockMetadata]]:
    pending: list[schema.BlockMetadata] = []
    async for extents in steps:
        pending += [schema.BlockMetadata(byte_offset=extent.offset, size_bytes=extent.length) for extent in extents]
        while len(pending) >= most:
            yield pending[:most]
            del pending[:most]
    if pending:
        yield pending
