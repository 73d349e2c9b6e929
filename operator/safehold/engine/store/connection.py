"""Where a store's connections may go: an address is checked when the connection is made, not when the name was read."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field

from safehold.errors import StoreError
from safehold.reasons import Reason


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
