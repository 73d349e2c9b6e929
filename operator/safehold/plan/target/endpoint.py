"""Which S3 endpoints a worker may talk to.

Literal addresses are refused here, without a Job. Host names are resolved, and judged by the same rules, by the worker
where it connects: an answer that the controller got may not be the one that the worker gets.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRules:
    """The operator's settings about endpoints. `api_server`: the API server's addresses, which no setting allows."""

    allow_local: bool = False
    api_server: tuple[str, ...] = ()

    @property
    def forbidden_addresses(self) -> list[str]:
        """The API server's addresses; a loopback one is the sandbox's, and judged as what it is: local."""
        return [address for address in self.api_server if not ip_address(address).is_loopback]


def refuse_endpoint(url: str | None, rules: EndpointRules) -> Refusal | None:
    """Judge an endpoint by what its URL says; None lets it pass."""
    host = (urlsplit(url).hostname or "") if url else ""
    address = _literal(host)
    if address is None:
        local = host == "localhost" or host.endswith(".localhost")
    else:
        local = address.is_loopback or address.is_link_local or address.is_unspecified
        if str(address) in rules.forbidden_addresses:
            return _refusal(url, "is the Kubernetes API server", "name the object store's own address")
    if local and not rules.allow_local:
        remedy = "name an address that workers reach over the network"
        return _refusal(url, "is a loopback or link-local address, which the operator's settings forbid", remedy)
    return None


def _literal(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _refusal(url: str | None, what: str, remedy: str) -> Refusal:
    return Refusal(Reason.ENDPOINT_NOT_ALLOWED, f"endpoint {url} {what}; {remedy}")
