"""Answers as they come: what is refused."""

import threading
from collections.abc import Iterator

import pytest

from safehold.engine.changed_blocks.collecting import collect
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError, InterruptedRunError

SIZE, CHUNK = 1000, 64


def collected(extents: Iterator[Extent], stop: threading.Event | None = None) -> list[tuple[int, int]]:
    """The runs of chunks that the extents touch."""
    stop = stop or threading.Event()
    return list(collect(extents, size_bytes=SIZE, chunk_bytes=CHUNK, stop=stop).runs())


@pytest.mark.parametrize(
    ("extents", "runs"),
    [
        ([], []),
        ([(0, 1)], [(0, 1)]),
        ([(0, 64), (64, 64)], [(0, 2)]),
        ([(63, 2), (65, 1)], [(0, 2)]),
        ([(999, 1)], [(15, 16)]),
        ([(0, 1000)], [(0, 16)]),
    ],
)
def test_takes_what_is_in_order(extents: list[tuple[int, int]], runs: list[tuple[int, int]]) -> None:
    """Neighbours, ranges that share a chunk, the last byte and the whole disk are all well."""
    assert collected(Extent(*each) for each in extents) == runs


@pytest.mark.parametrize(
    ("extents", "sentence"),
    [
        ([(0, 10), (9, 10)], "overlap or are out of order: expected an offset from 10 on, found 9"),
        ([(100, 10), (0, 10)], "out of order: expected an offset from 110 on, found 0"),
        ([(10, 5), (10, 5)], "out of order"),
        ([(-1, 5)], "out of order: expected an offset from 0 on, found -1"),
        ([(5, 0)], "empty range: found 0 bytes at 5"),
        ([(5, -3)], "empty range: found -3 bytes at 5"),
        ([(0, 10), (999, 2)], "past the disk's end: expected at most 1000, found 1001"),
        ([(1000, 1)], "past the disk's end"),
        ([(0, 1 << 62)], "past the disk's end"),
    ],
)
def test_refuses_what_no_honest_source_says(extents: list[tuple[int, int]], sentence: str) -> None:
    """Overlapping, unordered, empty ranges and those past the end spoil the whole answer."""
    with pytest.raises(ChangedBlocksError, match=sentence):
        collected(Extent(*each) for each in extents)


def test_an_answer_that_breaks_off_is_none() -> None:
    """What came before a stream was cut is not returned."""

    def cut() -> Iterator[Extent]:
        yield Extent(0, 10)
        raise ChangedBlocksError("The stream was cut")

    with pytest.raises(ChangedBlocksError, match="cut"):
        collected(cut())


def test_an_endless_answer_can_be_stopped() -> None:
    """A run that is told to stop does not wait for the last extent."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError):
        collected((Extent(at, 1) for at in range(SIZE)), stop)
