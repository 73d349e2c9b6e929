"""Kubernetes quantities of bytes."""

import re
from decimal import ROUND_CEILING, Decimal

from safehold.errors import ClusterError

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]+)|(Ki|Mi|Gi|Ti|Pi|Ei|[mkMGTPE]?))")


def parse_bytes(quantity: str | int) -> int:
    """`64Mi`, `1e9`, `1500M` or a plain number, rounded up to whole bytes."""
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None:
        raise ClusterError("a size in the cluster is not a quantity", found=quantity)
    number, exponent, unit = Decimal(match[1]), match[2], match[3] or ""
    if exponent:
        number = number.scaleb(int(exponent[1:]))
    elif unit in _BINARY:
        number *= 1024 ** _BINARY[unit]
    else:
        number = number.scaleb(3 * _DECIMAL[unit])
    return int(number.to_integral_value(ROUND_CEILING))
