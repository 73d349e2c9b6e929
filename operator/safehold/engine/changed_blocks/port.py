"""The port to everything that knows, without reading a disk, which of its ranges changed (docs/changed-blocks.md)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from safehold.engine.disks.volumes import Extent

Engine = Literal["Scan", "CSI", "KubeVirt", "Listed"]
"""How the changed blocks of a volume were found; `Scan` asks nobody, `Listed` is what a person gave."""


class ChangedBlocks(Protocol):
    """An opened source of changed blocks of one disk, with the two questions that it answers.

    Extents come in order, do not overlap, are not empty and end within the disk; they may be wider than what changed,
    never narrower. ChangedBlocksError for whatever makes an answer untrustworthy: a stream that was cut, an expired
    token, a wrong certificate, another volume or capacity. An iterator that ends without it has told everything.
    """

    def allocated(self) -> Iterator[Extent]:
        """Ranges that may hold data. What lies outside reads as zeros."""
        ...

    def changed(self) -> Iterator[Extent]:
        """Ranges that may have changed since the base. What lies outside holds what it held then."""
        ...


class ChangeSource(Protocol):
    """Where changed blocks of one volume can be asked."""

    @property
    def engine(self) -> Engine:
        """What the point and the status call it."""
        ...

    @property
    def base(self) -> str | None:
        """The checkpoint that `changed` starts from; None where only allocated ranges can be asked."""
        ...

    def open(self, size_bytes: int) -> AbstractContextManager[ChangedBlocks]:
        """Ask about the disk of this size. ChangedBlocksError if it cannot be reached, or is another disk's."""
        ...
