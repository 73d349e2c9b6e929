"""The set of touched chunks."""

import re
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.volumes import Extent
from safehold.engine.geometry import FORMAT_1

CHUNK = 8
TIB = 1 << 40


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 999), st.integers(1, 400)), max_size=12))
def test_holds_the_chunks_that_extents_touch(size_bytes: int, ranges: list[tuple[int, int]]) -> None:
    """Membership, runs and extents all name the chunks that share a byte with an extent, and no other."""
    touched, expected = TouchedChunks(size_bytes, CHUNK), set()
    for offset, length in ranges:
        if offset < size_bytes:
            extent = Extent(offset, min(length, size_bytes - offset))
            touched.add(extent)
            expected |= set(range(extent.offset // CHUNK, (extent.end - 1) // CHUNK + 1))
    assert {slot for slot in range(touched.slots) if slot in touched} == expected
    runs = list(touched.runs())
    assert {slot for first, end in runs for slot in range(first, end)} == expected
    assert all(before[1] < after[0] for before, after in pairwise(runs))
    covered = [byte for extent in touched.extents() for byte in range(extent.offset, extent.end)]
    assert covered == [byte for byte in range(size_bytes) if byte // CHUNK in expected]
    assert touched.size_bytes == len(covered)


@given(st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(1, 200_000)), max_size=5))
def test_long_runs_are_not_broken_where_the_bits_are_searched_in_pieces(ranges: list[tuple[int, int]]) -> None:
    """A disk of a million chunks of one byte: each run is told once, from its beginning to its end."""
    touched, expected = TouchedChunks(1_200_000, 1), bytearray(1_200_000)
    for offset, length in ranges:
        touched.add(Extent(offset, length))
        expected[offset : offset + length] = b"\1" * length
    assert list(touched.runs()) == [match.span() for match in re.finditer(b"\1+", expected)]


@pytest.mark.parametrize("everything", [True, False], ids=["all of it", "a little"])
def test_sixteen_tebibytes_take_sixteen_mebibytes(everything: bool) -> None:
    """Memory is one bit for each chunk, whether everything is touched, or two far ends."""
    tracemalloc.start()
    try:
        touched = TouchedChunks(16 * TIB, FORMAT_1.chunk_bytes)
        for extent in [Extent(0, 16 * TIB)] if everything else [Extent(0, 1), Extent(16 * TIB - 1, 1)]:
            touched.add(extent)
        assert len(list(touched.runs())) == (1 if everything else 2)
        assert tracemalloc.get_traced_memory()[1] < 17 << 20
    finally:
        tracemalloc.stop()
