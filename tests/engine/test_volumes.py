"""Disks: what is read of them, and how they are written."""

import mmap
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from safehold.engine.disks.targets import TargetVolume
from safehold.engine.disks.volumes import Extent, SourceVolume
from safehold.engine.packing.frames import FrameBuffer
from safehold.errors import VolumeError

PAGE = 4096


def test_holes_of_a_file_are_not_read(tmp_path: Path) -> None:
    """Extents cover the data, in order, and little else."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        for at in (0, 64 * PAGE, 65 * PAGE):
            file.seek(at)
            file.write(b"x" * 100)
        file.truncate(200 * PAGE)
    with SourceVolume(path) as volume:
        assert list(volume.data_extents()) == [Extent(0, PAGE), Extent(64 * PAGE, 2 * PAGE)]


def test_a_file_that_is_all_hole_has_no_extents(tmp_path: Path) -> None:
    """An empty disk of 1 TiB is looked at in no time."""
    path = tmp_path / "disk"
    path.touch()
    os.truncate(path, 1 << 40)
    with SourceVolume(path) as volume:
        assert volume.size_bytes == 1 << 40
        assert list(volume.data_extents()) == []


def test_a_disk_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """A source that fails in the middle never becomes a point that looks whole."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(1000))
    with SourceVolume(path) as volume:
        os.truncate(path, 500)
        with pytest.raises(VolumeError, match="ended while it was read: expected 1000 bytes, found 500"):
            volume.read_into([memoryview(bytearray(600)), memoryview(bytearray(400))], 0)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A disk that does not end at a page, still in the page cache and perhaps not yet on the medium."""
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(10 * PAGE + 100))
    return path


@pytest.mark.parametrize(
    ("offset", "length", "shift"),
    [
        (0, 4 * PAGE, 0),
        (3 * PAGE, 4 * PAGE, 0),
        (0, 4 * PAGE, 1),
        (PAGE + 512, PAGE, 0),
        (8 * PAGE, 2 * PAGE + 100, 0),
        (100, 7, 3),
    ],
    ids=["pages", "later pages", "crooked buffer", "crooked offset", "the end", "bytes"],
)
def test_every_range_reads_as_it_was_written(written: Path, offset: int, length: int, shift: int) -> None:
    """Whether a range can be read past the page cache or not, and though it is not on the medium yet."""
    buffer = memoryview(mmap.mmap(-1, 16 * PAGE))[shift : shift + length]
    with SourceVolume(written) as volume:
        volume.read_into([buffer[: length // 2], buffer[length // 2 :]], offset)
        volume.read_into([buffer], offset)
    assert bytes(buffer) == written.read_bytes()[offset : offset + length]


def test_reading_leaves_the_page_cache_alone(written: Path) -> None:
    """A backup does not push out what the node's other programs have in memory."""
    try:
        os.close(os.open(written, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system reads only through the page cache")
    if shutil.which("fincore") is None:
        pytest.skip("fincore (util-linux), which tells what is cached, is missing")
    with SourceVolume(written) as volume:
        os.sync()
        volume.drop_cache()
        volume.read_into([memoryview(mmap.mmap(-1, 10 * PAGE))], 0)
        told = subprocess.run(
            ["fincore", "--bytes", "--noheadings", "--output=RES", written], check=True, capture_output=True
        )
    assert int(told.stdout) == 0


@pytest.mark.parametrize(
    ("make", "said"), [("missing", "cannot be opened"), ("folder", "opened|not a disk"), ("empty", "empty")]
)
def test_what_is_no_disk_is_refused(tmp_path: Path, make: str, said: str) -> None:
    """A missing, an empty and a strange source each get their own sentence."""
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    if make == "empty":
        path.touch()
    with pytest.raises(VolumeError, match=said):
        SourceVolume(path)


def test_a_file_has_its_name_only_when_it_is_finished(tmp_path: Path) -> None:
    """Until then the old disk stands, and the new one is beside it under another name."""
    path = tmp_path / "disk"
    path.write_bytes(b"old")
    with TargetVolume(path, 100) as target:
        target.write([b"new"], 50)
        assert path.read_bytes() == b"old"
        target.finish()
    assert path.read_bytes() == bytes(50) + b"new" + bytes(47)
    assert [each.name for each in tmp_path.iterdir()] == ["disk"]


def test_a_file_is_on_the_medium_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power failure could leave a part of a disk under the name of a whole one."""
    path, named = tmp_path / "disk", []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        named.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with TargetVolume(path, 100) as target:
        target.write([b"new"], 50)
        target.finish()
    assert named == [False]
    assert path.exists()


def test_a_partial_file_of_an_earlier_attempt_is_not_reused(tmp_path: Path) -> None:
    """Old bytes do not show through where the restore point has holes."""
    (tmp_path / "disk.partial").write_bytes(b"x" * 300)
    with TargetVolume(tmp_path / "disk", 100) as target:
        target.finish()
    assert (tmp_path / "disk").read_bytes() == bytes(100)


def test_a_file_in_place_keeps_its_size_and_loses_its_old_content(tmp_path: Path) -> None:
    """A file that stands for a device is filled where it is, and is larger than the disk."""
    path = tmp_path / "device"
    path.write_bytes(b"x" * 300)
    inode = path.stat().st_ino
    with TargetVolume(path, 100, in_place=True) as target:
        target.write([b"n", b"ew"], 0)
        target.finish()
    assert path.read_bytes() == b"new" + bytes(297)
    assert path.stat().st_ino == inode


def test_a_device_that_is_too_small_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The old content is still there."""
    path = tmp_path / "device"
    path.write_bytes(b"x" * 50)
    with pytest.raises(VolumeError, match="too small: expected 100 bytes, found 50"):
        TargetVolume(path, 100, in_place=True)
    assert path.read_bytes() == b"x" * 50


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("offset", "start", "length"),
    [
        (0, 0, 8 * PAGE),
        (4 * PAGE, PAGE, 3 * PAGE),
        (4 * PAGE, 512, 3 * PAGE),
        (4 * PAGE, 0, 3 * PAGE - 512),
        (4 * PAGE + 512, 0, 2 * PAGE),
        (4 * PAGE, 0, 0),
    ],
)
def test_what_is_written_is_there_whole_pages_or_not(
    tmp_path: Path, in_place: bool, offset: int, start: int, length: int
) -> None:
    """Place, address and length of what is written may be anything."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(16 * PAGE))
    memory = FrameBuffer().take(8 * PAGE)
    memory[:] = content = random.Random(1).randbytes(8 * PAGE)  # noqa: S311 - the same in every run
    with TargetVolume(path, 16 * PAGE, in_place=in_place) as target:
        target.write([memory[start : start + length], content[:100]], offset)
        target.write([memory[start : start + length]], offset)
        target.finish()
    written = content[start : start + length] + content[:100]
    assert path.read_bytes() == bytes(offset) + written + bytes(16 * PAGE - offset - len(written))


def test_room_is_made_for_what_will_be_written_and_for_nothing_else(tmp_path: Path) -> None:
    """The runs take their space at once, and read as zeros until they are written; between them are holes."""
    path = tmp_path / "disk"
    runs = [Extent(4 * PAGE, 32 * PAGE), Extent(64 * PAGE, 8 * PAGE)]
    with TargetVolume(path, 1024 * PAGE) as target:
        target.reserve(runs)
        found = target.filling.stat()
        target.finish()
    assert found.st_blocks * 512 == sum(run.length for run in runs)
    assert path.read_bytes() == bytes(1024 * PAGE)


def test_a_disk_without_room_is_an_error_before_it_is_written(tmp_path: Path) -> None:
    """It names the place, and leaves no file that could be taken for a whole disk."""
    path = tmp_path / "disk"
    with TargetVolume(path, 1024 * PAGE) as target, pytest.raises(VolumeError, match="cannot be written at 4096"):
        target.reserve([Extent(PAGE, 1 << 60)])
    assert not path.exists()


def test_whole_pages_stay_out_of_the_page_cache(tmp_path: Path) -> None:
    """Dirty pages count as a worker's memory, and the last fsync would wait for all of them."""
    if not tells_what_is_cached(tmp_path / "probe"):
        pytest.skip("this file system does not tell what is in memory")
    pages = FrameBuffer().take(8 * PAGE)
    pages[:] = bytes(range(256)) * (8 * PAGE // 256)
    with TargetVolume(tmp_path / "disk", 32 * PAGE) as target:
        target.write([pages], 0)
        target.write([bytes(pages)], 16 * PAGE)
        assert is_cached(target.filling, 16 * PAGE)
        assert not is_cached(target.filling, 0)


def tells_what_is_cached(path: Path) -> bool:
    """Whether this file system can forget a page, and says so."""
    with path.open("wb") as file:
        file.write(b"x" * PAGE)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return not is_cached(path, 0)


def is_cached(path: Path, offset: int) -> bool:
    """Whether the page can be read without waiting for the medium."""
    with path.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(PAGE)], offset, os.RWF_NOWAIT) == PAGE
        except BlockingIOError:
            return False


def test_a_device_is_read_whole(loop_device: Path) -> None:
    """A device has no holes to see; its size is found by seeking."""
    with SourceVolume(loop_device) as volume:
        assert list(volume.data_extents()) == [Extent(0, 1 << 20)]


def test_a_device_is_zeroed_where_the_point_has_zeros(loop_device: Path) -> None:
    """Old data of a device is gone between, and behind, what was written."""
    with TargetVolume(loop_device, 512 * 1024) as target:
        target.zero(Extent(0, 64 * 1024))
        target.write([b"n" * (448 * 1024)], 64 * 1024)
        target.zero_behind_disk()
        target.flush()
        target.finish()
    assert loop_device.read_bytes() == bytes(64 * 1024) + b"n" * (448 * 1024) + bytes(512 * 1024)


def test_a_device_that_is_in_use_is_not_written(loop_device: Path) -> None:
    """A mounted or claimed device cannot be opened exclusively a second time."""
    with TargetVolume(loop_device, 4096), pytest.raises(VolumeError, match="cannot be opened to write"):
        TargetVolume(loop_device, 4096)
