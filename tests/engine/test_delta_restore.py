"""Completing a disk that is there already: what moves, and what state the disk is in meanwhile."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.comparing import differences
from safehold.engine.disks.targets import TargetVolume
from safehold.engine.disks.volumes import Extent
from safehold.engine.geometry import FORMAT_1, MIB
from safehold.engine.points.manifest import Manifest
from safehold.engine.restore import Restored, complete, fill
from safehold.errors import InterruptedRunError, StoreUnavailableError, VolumeError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]


def completed(
    laboratory: Laboratory,
    manifest: Manifest,
    path: Path,
    *,
    in_place: bool = False,
    read_back: bool = False,
    store: FaultyStore | None = None,
    stop: threading.Event | None = None,
) -> Restored:
    """The disk, made what the point says."""
    return complete(
        laboratory.domain(store, create=False),
        manifest,
        "root",
        path,
        stop=stop or threading.Event(),
        progress=lambda _: None,
        in_place=in_place,
        read_back=read_back,
    )


def extents(laboratory: Laboratory, manifest: Manifest, path: Path) -> list[Extent]:
    """Where the disk differs."""
    return list(
        differences(laboratory.domain(), manifest, "root", path, stop=threading.Event(), progress=lambda _: None)
    )


pieces = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(1, 40)), min_size=1, max_size=6)


def content_of(plan: list[tuple[int, int]], tail: int) -> bytes:
    """A disk of runs of equal chunks, some of zeros."""
    return b"".join(bytes([value]) * CHUNK * count for value, count in plan) + b"e" * tail


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces, pieces, st.integers(1, CHUNK), st.booleans())
def test_whatever_the_disk_was_it_becomes_the_point(
    laboratory: Laboratory, wanted: list[tuple[int, int]], found: list[tuple[int, int]], tail: int, in_place: bool
) -> None:
    """Larger, smaller or equal, with holes where data belongs and data where holes belong."""
    content = content_of(wanted, tail)
    manifest = laboratory.back_up(laboratory.disk(content))
    size = len(content)
    disk = laboratory.disk(content_of(found, 0).ljust(size, b"x"), "there")
    completed(laboratory, manifest, disk, in_place=in_place, read_back=True)
    assert disk.read_bytes()[:size] == content
    assert not disk.read_bytes()[size:].strip(b"\0")
    assert in_place or disk.stat().st_size == size
    assert extents(laboratory, manifest, disk) == []


def test_only_what_differs_moves(laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise) -> None:
    """One chunk of a thousand costs one frame of the store and one chunk of the disk; an equal disk costs its map."""
    content = noise(1000 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    changed = bytearray(content)
    changed[500 * CHUNK + 3] ^= 1
    disk = laboratory.disk(bytes(changed), "there")
    assert extents(laboratory, manifest, disk) == [Extent(500 * CHUNK, CHUNK)]
    store = faulty(laboratory.store)
    restored = completed(laboratory, manifest, disk, store=store)
    assert restored.bytes_written == CHUNK
    assert disk.read_bytes() == content
    again = faulty(laboratory.store)
    equal = completed(laboratory, manifest, disk, store=again)
    assert equal.bytes_written == 0
    assert CHUNK < restored.bytes_fetched - equal.bytes_fetched < laboratory.geometry.frame_bytes + 2 * CHUNK
    assert store.calls - again.calls <= 3


def test_discarded_ranges_become_holes(laboratory: Laboratory, noise: Noise) -> None:
    """What the point has as zeros takes no space afterwards."""
    page = 4096
    manifest = laboratory.back_up(laboratory.disk(bytes(64 * page) + noise(page)))
    disk = laboratory.folder / "there"
    disk.write_bytes(noise(65 * page))
    completed(laboratory, manifest, disk)
    assert disk.stat().st_blocks * 512 <= 2 * page


def test_a_difference_behind_a_short_disk_is_told(laboratory: Laboratory, noise: Noise) -> None:
    """A disk that is too short differs where it ends."""
    content = noise(10 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    disk = laboratory.folder / "short"
    disk.write_bytes(content[: 6 * CHUNK])
    assert extents(laboratory, manifest, disk) == [Extent(6 * CHUNK, 4 * CHUNK)]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_disk_in_between_cannot_be_taken_for_whole(
    laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise, in_place: bool
) -> None:
    """Wherever the store fails, the disk has no name or no head; the next attempt completes what is left of it."""
    content = noise(40 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    opening, counting = faulty(laboratory.store), faulty(laboratory.store)
    laboratory.domain(opening, create=False)
    completed(laboratory, manifest, laboratory.disk(noise(40 * CHUNK), "there"), store=counting, in_place=in_place)
    for number in range(opening.calls + 1, counting.calls + 1):
        disk = laboratory.disk(noise(40 * CHUNK), "there")
        with pytest.raises(StoreUnavailableError):
            completed(laboratory, manifest, disk, store=faulty(laboratory.store, fail_at=number), in_place=in_place)
        assert disk.read_bytes().startswith(b"SAFEHOLD: this disk") if in_place else not disk.exists()
        completed(laboratory, manifest, disk, in_place=in_place)
        assert disk.read_bytes() == content


@pytest.mark.parametrize("in_place", [False, True])
def test_a_killed_attempt_leaves_its_mark(laboratory: Laboratory, noise: Noise, in_place: bool) -> None:
    """A file has lost its name, a disk in place has the mark where its partition table would be."""
    content = noise(40 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    disk = laboratory.disk(noise(40 * CHUNK), "there")
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError, match="do not use it" if in_place else "there.partial"):
        completed(laboratory, manifest, disk, in_place=in_place, stop=stop)
    if in_place:
        assert disk.read_bytes().startswith(b"SAFEHOLD: this disk is filled in part, do not use it")
    else:
        assert not disk.exists()
    completed(laboratory, manifest, disk, in_place=in_place)
    assert disk.read_bytes() == content


def test_a_whole_restore_in_place_is_marked_too(laboratory: Laboratory, noise: Noise) -> None:
    """A device that is filled from the beginning has no head before its end."""
    manifest = laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    disk = laboratory.disk(noise(60 * CHUNK), "there")
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError, match="do not use it"):
        fill(laboratory.domain(), manifest, "root", disk, stop=stop, progress=lambda _: None, in_place=True)
    assert disk.read_bytes().startswith(b"SAFEHOLD: this disk")


def test_a_disk_that_does_not_exist_cannot_be_completed(laboratory: Laboratory, noise: Noise) -> None:
    """There is nothing to compare with, and a name may be mistyped."""
    manifest = laboratory.back_up(laboratory.disk(noise(CHUNK)))
    with pytest.raises(VolumeError, match="No such file"):
        completed(laboratory, manifest, laboratory.folder / "nothing")


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    """A block device of 1 MiB that is full of old data."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"o" * (1 << 20))
    found = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no loop devices here: {found.stderr.strip()}")
    device = Path(found.stdout.strip())
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_a_device_is_completed_and_its_discarded_ranges_given_back(
    laboratory: Laboratory, loop_device: Path, noise: Noise
) -> None:
    """What is zeros in the point is discarded on the device; what lies behind the disk is zeroed."""
    content = noise(100 * CHUNK) + bytes(800 * CHUNK) + noise(100 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    completed(laboratory, manifest, loop_device, read_back=True)
    assert loop_device.read_bytes() == content + bytes((1 << 20) - len(content))
    assert (laboratory.folder / "backing").stat().st_blocks * 512 < 1 << 19


def test_the_head_is_written_last(tmp_path: Path) -> None:
    """Whatever the order of the writes, a disk in place has its mark until it is finished."""
    path = tmp_path / "device"
    path.write_bytes(b"x" * 9000)
    with TargetVolume(path, 9000, in_place=True) as target:
        target.write([b"a" * 5000], 0)
        target.write([b"b" * 4000], 5000)
        assert path.read_bytes()[4096:] == b"a" * 904 + b"b" * 4000
        assert path.read_bytes().startswith(b"SAFEHOLD")
        target.finish()
    assert path.read_bytes() == b"a" * 5000 + b"b" * 4000


@pytest.mark.parametrize("in_place", [False, True])
def test_only_what_is_said_to_differ_is_completed(laboratory: Laboratory, noise: Noise, in_place: bool) -> None:
    """Chunks outside are not looked at; the head, where the mark was, is always put right."""
    content = noise(40 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    found = bytearray(content)
    found[15 * CHUNK : 16 * CHUNK] = found[30 * CHUNK : 31 * CHUNK] = noise(CHUNK)
    only = TouchedChunks(len(content), CHUNK)
    only.add(Extent(30 * CHUNK, 1))
    disk = laboratory.disk(bytes(found), "there")
    restored = complete(
        laboratory.domain(),
        manifest,
        "root",
        disk,
        stop=threading.Event(),
        progress=lambda _: None,
        in_place=in_place,
        only=only,
    )
    found[30 * CHUNK : 31 * CHUNK] = content[30 * CHUNK : 31 * CHUNK]
    assert disk.read_bytes() == bytes(found)
    assert restored.bytes_written <= (9 if in_place else 1) * CHUNK


def test_what_differs_is_fetched_while_the_rest_is_read(
    tmp_path: Path, laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise
) -> None:
    """A change at the beginning of a large disk comes from the store before the disk was read to its end."""
    laboratory.geometry = FORMAT_1
    content = noise(80 * MIB)
    source, disk = tmp_path / "root", tmp_path / "there"
    source.write_bytes(content)
    manifest = laboratory.back_up(source)
    disk.write_bytes(bytes(MIB) + content[MIB:])
    store = faulty(laboratory.store)
    fetched = threading.Event()

    def stream_range(name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        if sum(sizes) > MIB // 2:  # the map is less
            fetched.set()
        return laboratory.store.stream_range(name, offset, sizes)

    store.stream_range = stream_range  # type: ignore[method-assign]
    left = len(content)

    def advance(done: int) -> None:
        nonlocal left
        left -= done
        if left == MIB:
            assert fetched.wait(30), "the disk was read first"

    complete(laboratory.domain(store, create=False), manifest, "root", disk, stop=threading.Event(), progress=advance)
    assert disk.read_bytes() == content
    assert fetched.is_set()
