"""The functions that Kubernetes adds to CEL, as far as the CEL library does not bring them.

Quantities, URLs, addresses and networks cross into CEL as maps with one entry, which no object of a user can equal,
because rules can only build them through these functions.
"""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final

from cel import stdlib

from sandbox.apiserver.schema.addresses import ADDRESS_FUNCTIONS
from sandbox.apiserver.schema.quantities import QUANTITY_FUNCTIONS

Function = Callable[..., object]
OWN_SIZE: Final = "sizeInCharacters"
"""The name under which rules call `_size`."""


def functions_for(names: Iterable[str]) -> dict[str, Function]:
    """The implementations of the named functions, as far as they are ours to bring."""
    return {name: _FUNCTIONS[name] for name in names if name in _FUNCTIONS}


def _size(value: str | list[object] | dict[str, object] | bytes) -> int:
    """CEL's size(): characters, bytes, items or entries."""
    return len(value)


def _is_sorted(values: list[object]) -> bool:
    return all(_not_after(left, right) for left, right in pairwise(values))


def _not_after(left: object, right: object) -> bool:
    return bool(left <= right)  # type: ignore[operator] # CEL's checker has seen to it that items are comparable


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _index_of(within: object, wanted: object, offset: int = 0) -> int:
    if isinstance(within, str) and isinstance(wanted, str):
        return stdlib.index_of(within, wanted, offset)
    assert isinstance(within, list)
    return within.index(wanted) if wanted in within else -1


def _last_index_of(within: object, wanted: object, offset: int | None = None) -> int:
    if isinstance(within, str) and isinstance(wanted, str):
        return stdlib.last_index_of(within, wanted, offset)
    assert isinstance(within, list)
    return len(within) - 1 - within[::-1].index(wanted) if wanted in within else -1


_VERB: Final = re.compile(r"%(%|(?:\.(\d+))?([sdfexXob]))")


def _format(template: str, values: list[object]) -> str:
    """CEL's format(): %s, %d, %f, %e, %x, %X, %o and %b."""
    remaining = iter(values)

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        value = next(remaining)
        if match[3] == "s":
            return _shown(value)
        if match[3] in "fe":
            return f"{value:.{match[2] or 6}{match[3]}}"
        return f"{value:{match[3]}}"

    try:
        return _VERB.sub(replaced, template)
    except StopIteration:
        raise ValueError(f"format {template!r} names more values than the {len(values)} given") from None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)


_FUNCTIONS: Final[dict[str, Function]] = {
    **stdlib.STDLIB_FUNCTIONS,
    **QUANTITY_FUNCTIONS,
    **ADDRESS_FUNCTIONS,
    OWN_SIZE: _size,
    "isSorted": _is_sorted,
    "find": _find,
    "findAll": _find_all,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "format": _format,
}
