"""Allocated and changed extents of real files, held against a comparison of all their bytes."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.csi.snapshot_metadata.extents import BLOCK_BYTES, BlockType, Extent, allocated_extents, changed_extents

MIB = 1 << 20
BLOCKS = 64

contents = st.dictionaries(st.integers(0, BLOCKS - 1), st.binary(min_size=1, max_size=8))
"""Block → what is written at its start."""
starts = st.integers(0, BLOCKS * BLOCK_BYTES - 1)
types = st.sampled_from(["fixed", "variable"])


def sparse(path: Path, written: dict[int, bytes], blocks: int = BLOCKS) -> Path:
    """A file of so many blocks, holes but for what is written."""
    path.touch()
    os.truncate(path, blocks * BLOCK_BYTES)
    with path.open("r+b") as file:
        for block, data in written.items():
            file.seek(block * BLOCK_BYTES)
            file.write(data)
    return path


def told(batches: Iterator[list[Extent]]) -> list[Extent]:
    """All batches as one list."""
    return [extent for batch in batches for extent in batch]


def blocks_of(extents: list[Extent]) -> set[int]:
    """The numbers of the blocks in the extents."""
    return {offset // BLOCK_BYTES for extent in extents for offset in range(extent.offset, extent.end, BLOCK_BYTES)}


def in_order(extents: list[Extent]) -> bool:
    """Ascending, not empty, and none over another."""
    return all(extent.length > 0 for extent in extents) and all(
        before.end <= after.offset for before, after in pairwise(extents)
    )


@given(old=contents, new=contents, grown=st.integers(0, 4), start=starts, block_type=types)
def test_changes_are_what_a_byte_comparison_finds(
    old: dict[int, bytes], new: dict[int, bytes], grown: int, start: int, block_type: BlockType
) -> None:
    """Exactly the differing blocks from the start's block on, in order; a grown volume compares with zeros."""
    with TemporaryDirectory() as folder:
        base = sparse(Path(folder) / "base", old)
        target = sparse(Path(folder) / "target", new, BLOCKS + grown)
        before, after = base.read_bytes().ljust(target.stat().st_size, b"\0"), target.read_bytes()
        found = told(changed_extents(base, target, start, block_type))
    differing = {
        block
        for block in range(start // BLOCK_BYTES, BLOCKS + grown)
        if before[block * BLOCK_BYTES :][:BLOCK_BYTES] != after[block * BLOCK_BYTES :][:BLOCK_BYTES]
    }
    assert blocks_of(found) == differing
    assert in_order(found)


@given(written=contents, start=starts, block_type=types)
def test_what_is_not_allocated_is_zero(written: dict[int, bytes], start: int, block_type: BlockType) -> None:
    """Every byte from the start on that is not in an extent is zero."""
    with TemporaryDirectory() as folder:
        target = sparse(Path(folder) / "target", written)
        data = bytearray(target.read_bytes())
        found = told(allocated_extents(target, start, block_type))
    assert in_order(found)
    for extent in found:
        data[extent.offset : extent.end] = bytes(extent.length)
    assert not any(data[start:])


def test_holes_are_not_allocated(tmp_path: Path) -> None:
    """A MiB of data in a GiB of holes is told as about that MiB."""
    target = sparse(tmp_path / "target", {}, 1024 * MIB // BLOCK_BYTES)
    with target.open("r+b") as file:
        file.seek(700 * MIB)
        file.write(b"x" * MIB)
    found = told(allocated_extents(target, 0, "variable"))
    assert sum(extent.length for extent in found) <= 2 * MIB


@pytest.mark.parametrize(
    ("block_type", "expected"),
    [("fixed", [Extent(0, 4096), Extent(4096, 4096), Extent(8192, 4096)]), ("variable", [Extent(0, 8292)])],
)
def test_fixed_blocks_are_whole(tmp_path: Path, block_type: BlockType, expected: list[Extent]) -> None:
    """Fixed tuples are all of one size, also over the end of an odd volume; variable ones end with the volume."""
    base, target = tmp_path / "base", tmp_path / "target"
    base.touch()
    target.write_bytes(b"x" * 8292)
    assert told(changed_extents(base, target, 0, block_type)) == expected
