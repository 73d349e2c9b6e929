"""A plain gRPC client of the service, as any backup software would write one from the published schema."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import SERVICE_ACCOUNT, SNAPSHOT_METADATA_SERVICE, Kind
from sandbox.csi.names import DRIVER

ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
_READ_SNAPSHOTS = {"apiGroups": ["snapshot.storage.k8s.io"], "resources": ["volumesnapshots"], "verbs": ["get"]}
_CALLS: dict[str, tuple[Any, Any]] = {
    "GetMetadataAllocated": (schema.GetMetadataAllocatedRequest, schema.GetMetadataAllocatedResponse),
    "GetMetadataDelta": (schema.GetMetadataDeltaRequest, schema.GetMetadataDeltaResponse),
}


@dataclass(slots=True)
class Answer:
    """What came of a stream before it ended: messages, and the status (OK for a whole one)."""

    messages: list[Any] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""

    @property
    def tuples(self) -> list[tuple[int, int]]:
        """All (offset, size) in their order."""
        return [(block.byte_offset, block.size_bytes) for message in self.messages for block in message.block_metadata]


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to the service at the address, and with the trust, that its SnapshotMetadataService names."""

    channel: grpc.aio.Channel
    token: str

    async def call(self, method: str, *, leave_after: int | None = None, **arguments: Any) -> Answer:
        """One stream to its end, or left by the client after so many messages."""
        request, response = _CALLS[method]
        stream = self.channel.unary_stream(
            f"/snapshotmetadata.SnapshotMetadata/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )(request(**{"security_token": self.token, "namespace": "a"} | arguments))
        answer = Answer()
        try:
            async for message in stream:
                answer.messages.append(message)
                if len(answer.messages) == leave_after:
                    stream.cancel()
                    answer.code = grpc.StatusCode.CANCELLED
                    break
        except grpc.aio.AioRpcError as error:
            answer.code, answer.details = error.code(), error.details() or ""
        return answer

    async def delta(self, base: str, target: str, **arguments: Any) -> Answer:
        """GetMetadataDelta."""
        return await self.call("GetMetadataDelta", base_snapshot_id=base, target_snapshot_name=target, **arguments)

    async def allocated(self, target: str, **arguments: Any) -> Answer:
        """GetMetadataAllocated."""
        return await self.call("GetMetadataAllocated", snapshot_name=target, **arguments)


async def service_of(cluster: Cluster) -> Object:
    """The spec of the driver's SnapshotMetadataService."""
    service = await cluster.get(SNAPSHOT_METADATA_SERVICE, DRIVER)
    assert service is not None
    return dict(service["spec"])


async def token_for(cluster: Cluster, account: str, audience: str) -> str:
    """A token of a service account in namespace a, for an audience."""
    request = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
    answer = await cluster.request("POST", f"{SERVICE_ACCOUNT.path('a', account)}/token", body=request)
    return str(answer["status"]["token"])


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Client]:
    """A client whose service account may get the VolumeSnapshots of namespace a."""
    await cluster.create(SERVICE_ACCOUNT, {"metadata": {"name": "mover", "namespace": "a"}})
    await cluster.create(ROLE, {"metadata": {"name": "mover", "namespace": "a"}, "rules": [_READ_SNAPSHOTS]})
    binding = {
        "metadata": {"name": "mover", "namespace": "a"},
        "roleRef": {"apiGroup": ROLE.group, "kind": "Role", "name": "mover"},
        "subjects": [{"kind": "ServiceAccount", "name": "mover", "namespace": "a"}],
    }
    await cluster.create(ROLE_BINDING, binding)
    service = await service_of(cluster)
    credentials = grpc.ssl_channel_credentials(base64.b64decode(service["caCert"]))
    async with grpc.aio.secure_channel(service["address"], credentials) as channel:
        yield Client(channel, await token_for(cluster, "mover", service["audience"]))
