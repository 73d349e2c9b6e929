"""The bench's disk and its changes."""

import os
from pathlib import Path

import pytest

from bench.disk import GIB, KIB, MIB, Change, allocated_bytes, data_extents, one_percent, sparse_copy


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Sixteen MiB, of which the second and the tenth are allocated."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        for at in (1, 9):
            file.seek(at * MIB)
            file.write(b"x" * MIB)
        file.truncate(16 * MIB)
    return path


def differences(one: Path, other: Path) -> list[int]:
    """The 4 KiB blocks in which two disks differ."""
    left, right = one.read_bytes(), other.read_bytes()
    step = 4 * KIB
    return [at // step for at in range(0, len(left), step) if left[at : at + step] != right[at : at + step]]


def test_extents_are_what_is_allocated(disk: Path) -> None:
    """Holes between and behind are left out."""
    with disk.open("rb") as file:
        assert data_extents(file.fileno()) == [(MIB, 2 * MIB), (9 * MIB, 10 * MIB)]
    assert allocated_bytes(disk) == 2 * MIB


def test_changes_stay_within_what_is_allocated_and_are_the_same_every_time(disk: Path, tmp_path: Path) -> None:
    """Two runs of the bench change the same places to the same bytes, and fill no holes."""
    copies = [sparse_copy(disk, tmp_path / name) for name in ("one", "two")]
    for copy in copies:
        Change(20, 4 * KIB, seed=1).apply(copy)
    assert copies[0].read_bytes() == copies[1].read_bytes()
    changed = differences(disk, copies[0])
    assert 15 <= len(changed) <= 20
    assert all(MIB <= block * 4 * KIB < 2 * MIB or 9 * MIB <= block * 4 * KIB < 10 * MIB for block in changed)
    assert allocated_bytes(copies[0]) == 2 * MIB


@pytest.mark.parametrize(("size_bytes", "runs"), [(GIB, 2), (400 * MIB, 1), (64 * MIB, 1)])
def test_one_percent_is_of_what_the_disk_holds(tmp_path: Path, size_bytes: int, runs: int) -> None:
    """In runs of 4 MiB, also on disks that are given; never nothing."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
        file.truncate(4 * size_bytes)
    assert one_percent(disk, seed=1) == Change(runs, 4 * MIB, seed=1)


def test_a_change_that_fits_nowhere_is_made_anyway(disk: Path, tmp_path: Path) -> None:
    """A disk in small pieces gets its large change too, over its holes."""
    copy = sparse_copy(disk, tmp_path / "copy")
    Change(1, 4 * MIB, seed=1).apply(copy)
    assert len(differences(disk, copy)) == 4 * MIB // (4 * KIB)
    assert copy.stat().st_size == 16 * MIB
