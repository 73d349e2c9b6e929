"""Changed ranges that somebody has listed: JSON lines, for storage that Safehold cannot ask itself."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

from safehold.engine.changed_blocks.port import ChangedBlocks, Engine
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    offset: StrictInt
    length: StrictInt


class ExtentList:
    """Lines such as `{"offset": 0, "length": 4096}`, all that changed since `base`.

    They can be read once: a second time a pipe would be empty, which must not be taken for "nothing has changed".
    """

    engine: Engine = "Listed"

    def __init__(self, lines: Iterable[str], base: str | None) -> None:
        self._lines = lines
        self._is_read = False
        self.base = base

    def open(self, size_bytes: int) -> AbstractContextManager[ChangedBlocks]:  # noqa: ARG002 - a list knows no size
        """Itself."""
        return nullcontext(self)

    def changed(self) -> Iterator[Extent]:
        """The listed ranges; ChangedBlocksError names the first line that is none, or that was cut."""
        if self._is_read:
            raise ChangedBlocksError("The list of changed extents was read already, before the run had to begin again")
        self._is_read = True
        for number, line in enumerate(self._lines, 1):
            if not line.endswith("\n"):
                raise ChangedBlocksError(
                    f"The list of changed extents is cut in line {number}", expected="a line's end"
                )
            try:
                found = _Line.model_validate_json(line)
            except ValidationError as problem:
                raise ChangedBlocksError(
                    f"Line {number} of the list of changed extents cannot be used",
                    expected='{"offset": BYTES, "length": BYTES}',
                    found=line.strip()[:80],
                ) from problem
            yield Extent(found.offset, found.length)

    def allocated(self) -> Iterator[Extent]:
        """ChangedBlocksError: a list of changes does not tell what is allocated."""
        raise ChangedBlocksError("A list of changed extents says nothing of the rest of the disk")
