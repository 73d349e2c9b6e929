"""The map of a pulled backup: one page of extents, merged from what QEMU says about allocation and changes."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.cluster.client import Object, Objects
from sandbox.guest.nbd import ALLOCATION, Extent, NbdClient

_CHANGED, _ZERO = 1, 2
_FULL_WORDS = ("data", "hole", "zero", "hole,zero")
_DELTA_WORDS = ("clean", "dirty", "zero", "dirty,zero")


async def extent_page(client: NbdClient, delta: str | None, offset: int, end: int, page_size: int) -> Object:
    """The reply of …/map: at most `page_size` extents of the range, and where the next page begins (None: done).

    The types of a full backup are the flags of base:allocation; with `delta`, the context of the changed blocks,
    bit 1 means changed and bit 2 zeroes: the same numbers have other meanings.
    """
    words = _DELTA_WORDS if delta else _FULL_WORDS
    extents: Objects = []
    position = offset
    while position < end:
        found = await client.extents(position, end - position)
        for run in _merged(found[ALLOCATION], found[delta]) if delta else found[ALLOCATION]:
            kind, length = run.flags & 3, min(run.length, end - position)
            if extents and extents[-1]["type"] == kind:
                extents[-1]["length"] += length
            elif len(extents) == page_size:
                return {"extents": extents, "next_offset": position}
            else:
                extents.append({"offset": position, "length": length, "type": kind, "description": words[kind]})
            position += length
    return {"extents": extents or None, "next_offset": None}


def _merged(allocated: list[Extent], changed: list[Extent]) -> Iterator[Extent]:
    """Runs with both flags, as far as both lists reach."""
    position = allocated[0].offset
    first, second = iter(allocated), iter(changed)
    left, right = next(first, None), next(second, None)
    while left is not None and right is not None:
        end = min(left.offset + left.length, right.offset + right.length)
        yield Extent(position, end - position, (left.flags & _ZERO) | (right.flags & _CHANGED))
        position = end
        if left.offset + left.length == end:
            left = next(first, None)
        if right.offset + right.length == end:
            right = next(second, None)
