"""Kubernetes quantities: "64Mi", "1.5G", "100m"."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{name: Decimal(1000) ** (power + 1) for power, name in enumerate(("k", "M", "G", "T", "P", "E"))},
    **{name: Decimal(1024) ** (power + 1) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([KMGTPE]i|[kMGTPEm]?)")


def parse_quantity(text: str | float) -> int:
    """The value as whole units (bytes for memory and storage), rounded up as Kubernetes does."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is no quantity")
    value = Decimal(match[1]) * _SUFFIXES[match[2]]
    return int(value.to_integral_value(rounding="ROUND_CEILING"))


def format_bytes(value: int) -> str:
    """A byte count in the largest binary unit that holds it without a fraction, as resource.Quantity prints it."""
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        unit = int(_SUFFIXES[suffix])
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)
