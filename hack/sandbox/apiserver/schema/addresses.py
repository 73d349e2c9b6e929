"""CEL's functions on URLs, IP addresses and networks."""

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

Wrapped = dict[str, str]
"""How these values travel through CEL: {"url" | "ip" | "cidr": text}."""


def _url(text: str) -> Wrapped:
    parts = urlsplit(text)
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return {"url": text}


def _ip(value: str | Wrapped) -> Wrapped:
    """ip("10.0.0.1"), or the address of a network."""
    text = str(ipaddress.ip_interface(value["cidr"]).ip) if isinstance(value, dict) else value
    return {"ip": str(ipaddress.ip_address(text))}


def _cidr(text: str) -> Wrapped:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: no '/' in {text!r}")
    return {"cidr": str(ipaddress.ip_interface(text))}


def _accepts(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return accepts


def _address(value: str | Wrapped) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(value["ip"] if isinstance(value, dict) else value)


def _network(value: str | Wrapped) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(value["cidr"] if isinstance(value, dict) else value).network


def _contains_ip(network: Wrapped, address: str | Wrapped) -> bool:
    return _address(address) in _network(network)


def _contains_cidr(outer: Wrapped, inner: str | Wrapped) -> bool:
    large, small = _network(outer), _network(inner)
    return large.version == small.version and small.subnet_of(large)  # type: ignore[arg-type] # versions are equal


def _family(value: Wrapped) -> int:
    return _address(value).version


ADDRESS_FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "url": _url,
    "isURL": _accepts(_url),
    "getScheme": lambda url: urlsplit(url["url"]).scheme,
    "getHost": lambda url: urlsplit(url["url"]).netloc.rpartition("@")[2],
    "getHostname": lambda url: urlsplit(url["url"]).hostname or "",
    "getPort": lambda url: str(urlsplit(url["url"]).port or ""),
    "getEscapedPath": lambda url: urlsplit(url["url"]).path,
    "getQuery": lambda url: parse_qs(urlsplit(url["url"]).query, keep_blank_values=True),
    "ip": _ip,
    "isIP": _accepts(_ip),
    "cidr": _cidr,
    "isCIDR": _accepts(_cidr),
    "family": _family,
    "isUnspecified": lambda value: _address(value).is_unspecified,
    "isLoopback": lambda value: _address(value).is_loopback,
    "isLinkLocalUnicast": lambda value: _address(value).is_link_local,
    "isLinkLocalMulticast": lambda value: _address(value).is_multicast and _address(value).is_link_local,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "prefixLength": lambda value: _network(value).prefixlen,
    "masked": lambda value: {"cidr": str(_network(value))},
}
