"""The map of a disk in a VirtualMachineBackup: what is data, what are zeros, and what changed since its base.

The map names every byte once, in order. Its numbers mean one thing in a full backup, another in an incremental one
(KubeVirt 1.9): so the words beside them are checked as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from safehold.engine.changed_blocks.kubevirt_connection import PullConnection
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError

_PAGE_EXTENTS = 4096
"""About 300 KiB of JSON; KubeVirt's own default of 512 makes many round trips of a scattered map."""
_CHANGED, _ZERO = 1, 2
"""Bits of an extent's type. In a full backup bit 1 means a hole, which says nothing about its content."""
_FULL_WORDS = ("data", "hole", "zero", "hole,zero")
_DELTA_WORDS = ("clean", "dirty", "zero", "dirty,zero")


class _MapExtent(BaseModel):
    offset: int = Field(ge=0)
    length: int = Field(gt=0)
    type: int = Field(ge=0, le=3)
    description: str = ""


class _Page(BaseModel):
    extents: list[_MapExtent] | None
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class PullMap:
    """One disk's map. `is_delta`: the backup is incremental. `expected_bytes`: where the map must end."""

    connection: PullConnection
    is_delta: bool
    expected_bytes: int | None = None

    def size_bytes(self) -> int:
        """The disk's size, which only the end of the map tells."""
        end = 0
        for extent in self._extents():
            end = extent.offset + extent.length
        return end

    def allocated(self) -> Iterator[Extent]:
        """Ranges that may hold data; all others are zeros."""
        return (_plain(extent) for extent in self._extents() if not extent.type & _ZERO)

    def changed(self) -> Iterator[Extent]:
        """Ranges that were written or discarded since the base; only for an incremental backup."""
        if not self.is_delta:
            raise ChangedBlocksError("A full backup of KubeVirt's does not say what changed")
        return (_plain(extent) for extent in self._extents() if extent.type & _CHANGED)

    def _extents(self) -> Iterator[_MapExtent]:
        """All extents; ChangedBlocksError as soon as one does not begin where the one before it ended."""
        position: int | None = 0
        end = 0
        while position is not None:
            page = self._page(position)
            for extent in page.extents or []:
                if extent.offset != end:
                    raise _malformed(f"an extent at {end}", f"one at {extent.offset}")
                self._check_word(extent)
                end += extent.length
                yield extent
            if page.next_offset is not None and (page.next_offset != end or not page.extents):
                raise _malformed(f"a next page at {end}, behind what this one holds", page.next_offset)
            position = page.next_offset
        if end == 0 or self.expected_bytes not in (None, end):
            raise _malformed(f"extents up to {self.expected_bytes or 'the end of a disk'}", f"an end at {end}")

    def _page(self, offset: int) -> _Page:
        try:
            return _Page.model_validate_json(self.connection.map_page(offset, _PAGE_EXTENTS))
        except ValidationError as problem:
            wrong = problem.errors(include_url=False, include_input=False)[0]
            raise _malformed("extents", f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None

    def _check_word(self, extent: _MapExtent) -> None:
        wanted = (_DELTA_WORDS if self.is_delta else _FULL_WORDS)[extent.type]
        if extent.description not in ("", wanted):
            raise _malformed(f"{wanted} for type {extent.type}", extent.description)


def _plain(extent: _MapExtent) -> Extent:
    return Extent(extent.offset, extent.length)


def _malformed(expected: str, found: object) -> ChangedBlocksError:
    return ChangedBlocksError("KubeVirt's map of the disk is malformed", expected=expected, found=found)
