"""The string formats that kube-apiserver checks; any other format is only documentation, as there."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_DURATION: Final = re.compile(
    r"[-+]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)"
)
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PATTERNS: Final = {
    "duration": _DURATION,
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "hostname": re.compile(rf"(?i:{_LABEL}(\.{_LABEL})*\.?)"),
    "mac": re.compile(r"([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5})"),
    "uuid": re.compile(r"(?i:[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12})"),
    "k8s-short-name": re.compile(_LABEL),
    "k8s-long-name": re.compile(rf"{_LABEL}(\.{_LABEL})*"),
}
_LONGEST: Final = {"k8s-short-name": 63, "k8s-long-name": 253, "hostname": 255}
_INTEGER_BITS: Final = {"int32": 32, "int64": 64}


def fits_format(text: str, name: str) -> bool:
    """True if a string is of the named format, or if the format is not one that is checked."""
    if pattern := _PATTERNS.get(name):
        return len(text) <= _LONGEST.get(name, len(text)) and pattern.fullmatch(text) is not None
    parse = _PARSERS.get(name)
    if parse is None:
        return True
    try:
        parse(text)
    except (ValueError, binascii.Error):
        return False
    return True


def fits_integer(number: float, name: str) -> bool:
    """True if a number is in the range of int32 or int64; other names are not checked."""
    bits = _INTEGER_BITS.get(name)
    return bits is None or -(1 << (bits - 1)) <= number < 1 << (bits - 1)


def parse_date_time(text: str) -> datetime:
    """An RFC 3339 time with its offset; ValueError if it is none."""
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"{text!r} is no RFC 3339 time")
    # datetime keeps microseconds; digits beyond them are dropped
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))


def _parse_uri(text: str) -> None:
    if not (text.startswith("/") or urlsplit(text).scheme):
        raise ValueError(f"{text!r} is no absolute URI")


def _parse_bytes(text: str) -> None:
    base64.b64decode(text, validate=True)


_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "date-time": parse_date_time,
    "datetime": parse_date_time,
    "date": date.fromisoformat,
    "byte": _parse_bytes,
    "uri": _parse_uri,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": ipaddress.ip_interface,
}
