"""Where a store's connections may go: an address is checked when the connection is made, not when the name was read."""

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from safehold.errors import StoreError
from safehold.reasons import Reason

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses an endpoint may have. The default allows all: on the command line people decide themselves."""

    allow_local: bool = True
    """Loopback, link-local (where clouds keep instance credentials), unspecified and multicast addresses."""
    forbidden: Collection[str] = field(default_factory=tuple)
    """Addresses that are refused besides: the API server's."""

    def check(self, host: str, address: str) -> None:
        """Raise StoreError (EndpointNotAllowed) if a connection to `host` has ended at an address that is refused."""
        ip = _plain(address)
        if ip in {_plain(each) for each in self.forbidden}:
            raise _refused(host, "the API server's address")
        if not self.allow_local and (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast):
            raise _refused(host, "a local address")


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _refused(host: str, found: str) -> StoreError:
    return StoreError(
        f"The endpoint {host} is not allowed",
        found=found,
        remedy="use another endpoint, or let the operator's settings allow it",
        reason=Reason.ENDPOINT_NOT_ALLOWED,
    )


def guard_connections(client: "S3Client", policy: AddressPolicy) -> None:
    """Check every connection's address when it is made: a name that was checked earlier may point elsewhere now."""

    def checked(connection: socket.socket, host: str) -> socket.socket:
        try:
            policy.check(host, connection.getpeername()[0])
        except StoreError:
            connection.close()
            raise
        return connection

    class GuardedConnection(AWSHTTPConnection):
        def _new_conn(self) -> socket.socket:
            return checked(super()._new_conn(), self.host)

    class GuardedTLSConnection(AWSHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return checked(super()._new_conn(), self.host)

    pools = {
        "http": type("GuardedPool", (AWSHTTPConnectionPool,), {"ConnectionCls": GuardedConnection}),
        "https": type("GuardedTLSPool", (AWSHTTPSConnectionPool,), {"ConnectionCls": GuardedTLSConnection}),
    }
    # botocore has no public way to choose connection classes; a test notices if this one moves.
    client._endpoint.http_session._manager.pool_classes_by_scheme = pools  # type: ignore[attr-defined] # noqa: SLF001
