"""Worst-case costs of calls, by the formulas of kube-apiserver (cel-go's checker, Kubernetes' CEL library).

Estimated costs decide which CRDs a cluster accepts, so these are part of the API.
"""

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

UNKNOWN: Final = (1 << 64) - 1
"""The size of what nothing bounds."""
LIST_COST: Final = 10
MAP_COST: Final = 30
_PER_CHARACTER: Final = 0.1
_PER_REGEX_CHARACTER: Final = 0.25
_ADDRESS_BYTES: Final = 16


class Estimate(NamedTuple):
    """The cost of a call beside its arguments', and the size of its result (None: as its type says)."""

    cost: int
    size: int | None = None


Sizes = tuple[int, ...]


def call_cost(function: str, sizes: Sizes, element_size: int = 0) -> Estimate:
    """The cost of a call on arguments of these sizes; `element_size` is that of the items of a first list."""
    formula = _FORMULAS.get(function)
    return formula(sizes, element_size) if formula else Estimate(1)


def added(sizes: tuple[int, ...], kind: str) -> Estimate:
    """The cost of `+`: strings and bytes are copied, lists are joined at once."""
    total = min(sum(sizes), UNKNOWN)
    return Estimate(1 if kind not in ("string", "bytes") else _traversal(total), total)


def _traversal(size: int) -> int:
    return ceil(size * _PER_CHARACTER)


def _last_read(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(_traversal(sizes[-1]))


def _copied(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(_traversal(sizes[0]), sizes[0])


def _converted(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(max(1, _traversal(sizes[0])), sizes[0])


def _searched(sizes: Sizes, _element: int) -> Estimate:
    """A regular expression on a text: both lengths count."""
    return Estimate(_traversal(sizes[0] + 1) * ceil(sizes[1] * _PER_REGEX_CHARACTER), sizes[0])


def _contained(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(_traversal(sizes[0]) * _traversal(sizes[1]))


def _visited(sizes: Sizes, element: int) -> Estimate:
    return Estimate(sizes[0] * (1 + _traversal(element)))


def _compared(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(_traversal(min(sizes)))


def _network(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(3 * _traversal(2 * _ADDRESS_BYTES) + _traversal(sizes[1]))


def _split(sizes: Sizes, _element: int) -> Estimate:
    return Estimate(ceil(sizes[0] * 2 * _PER_CHARACTER), sizes[0])


def _joined(sizes: Sizes, element: int) -> Estimate:
    separators = sizes[1] * max(0, sizes[0] - 1) if len(sizes) > 1 else 0
    total = min(sizes[0] * element + separators, UNKNOWN)
    return Estimate(_traversal(total), total)


def _replaced(sizes: Sizes, _element: int) -> Estimate:
    size, replaced, replacement = sizes[:3]
    if not replaced:
        longest = (size + 1) * replacement + size
    else:
        longest = size if replacement <= replaced else ceil(size / replaced) * replacement
    return Estimate(ceil(size * 2 * _PER_CHARACTER), min(longest, UNKNOWN))


_FORMULAS: Final[dict[str, Callable[[Sizes, int], Estimate]]] = {
    **dict.fromkeys(("startsWith", "endsWith", "url", "quantity", "isQuantity"), _last_read),
    **dict.fromkeys(("ip", "cidr", "isIP", "isCIDR"), _last_read),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _copied),
    **dict.fromkeys(("bytes", "string", "format"), _converted),
    **dict.fromkeys(("matches", "find", "findAll"), _searched),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _visited),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _compared),
    **dict.fromkeys(("containsIP", "containsCIDR"), _network),
    **dict.fromkeys(("&&", "||"), lambda _sizes, _element: Estimate(0)),
    "_?_:_": lambda sizes, _element: Estimate(0, max(sizes[1:])),
    "in": lambda sizes, _element: Estimate(sizes[1]),
    "contains": _contained,
    "split": _split,
    "join": _joined,
    "replace": _replaced,
}
