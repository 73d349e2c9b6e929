"""The driver on real files."""

import os
from pathlib import Path

import pytest

from sandbox.csi.driver import Driver, DriverError, volume_path
from sandbox.csi.sparse import copy_file, copy_tree

MIB = 1 << 20


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Overwrites a part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def allocated(path: Path) -> int:
    """Bytes that the file takes on the disk."""
    return path.stat().st_blocks * 512


def test_copies_keep_holes(tmp_path: Path) -> None:
    """A copy has the same bytes and does not fill the holes; trailing holes included."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.touch()
    os.truncate(source, 64 * MIB)
    write_at(source, 8 * MIB, b"x" * MIB)
    copy_file(source, target)
    assert target.stat().st_size == 64 * MIB
    assert target.read_bytes() == source.read_bytes()
    assert allocated(target) <= 2 * MIB


def test_trees_are_copied_whole(tmp_path: Path) -> None:
    """A folder's copy has its files, links, empty folders and modes."""
    source = tmp_path / "a"
    (source / "sub/empty").mkdir(parents=True)
    (source / "disk.img").write_bytes(b"disk")
    (source / "disk.img").chmod(0o600)
    (source / "link").symlink_to("disk.img")
    copy_tree(source, tmp_path / "b")
    assert (tmp_path / "b/sub/empty").is_dir()
    assert (tmp_path / "b/link").readlink() == Path("disk.img")
    assert (tmp_path / "b/disk.img").stat().st_mode & 0o777 == 0o600


def test_a_snapshot_stays_as_it_was_cut(tmp_path: Path) -> None:
    """Later writes to the volume, and its deletion, do not reach the snapshot or what is restored from it."""
    driver = Driver(tmp_path)
    volume = driver.create_volume("pvc-1", 4 * MIB, "Block")
    path = volume_path(tmp_path, volume.handle)
    write_at(path, MIB, b"before")
    snapshot = driver.create_snapshot("snapshot-1", volume.handle)
    write_at(path, MIB, b"after!")
    driver.delete_volume(volume.handle)
    restored = driver.create_volume("pvc-2", 8 * MIB, "Block", snapshot_handle=snapshot.handle)
    copy = volume_path(tmp_path, restored.handle)
    assert copy.stat().st_size == 8 * MIB
    assert copy.read_bytes()[MIB : MIB + 6] == b"before"
    assert not path.exists()


def test_calls_may_be_repeated(tmp_path: Path) -> None:
    """The same name gives the same volume and snapshot, deleting twice is fine."""
    driver = Driver(tmp_path)
    volume = driver.create_volume("pvc-1", MIB, "Filesystem")
    assert driver.create_volume("pvc-1", MIB, "Filesystem") == volume
    snapshot = driver.create_snapshot("snapshot-1", volume.handle)
    assert driver.create_snapshot("snapshot-1", volume.handle) == snapshot
    for _ in range(2):
        driver.delete_snapshot(snapshot.handle)
        driver.delete_volume(volume.handle)
    assert list((tmp_path / "volumes").iterdir()) == []
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_state_outlives_the_process(tmp_path: Path) -> None:
    """A new driver over the same folder knows the volumes and snapshots of the one before."""
    first = Driver(tmp_path)
    volume = first.create_volume("pvc-1", MIB, "Block")
    snapshot = first.create_snapshot("snapshot-1", volume.handle)
    second = Driver(tmp_path)
    assert second.create_volume("pvc-1", MIB, "Block") == volume
    assert second.find_snapshot(snapshot.handle) == snapshot


def test_growing(tmp_path: Path) -> None:
    """A volume grows and never shrinks."""
    driver = Driver(tmp_path)
    volume = driver.create_volume("pvc-1", MIB, "Block")
    assert driver.expand_volume(volume.handle, 3 * MIB) == 3 * MIB
    assert driver.expand_volume(volume.handle, 2 * MIB) == 3 * MIB
    assert volume_path(tmp_path, volume.handle).stat().st_size == 3 * MIB


def test_unchecked_mode_changes(tmp_path: Path) -> None:
    """A folder in a block volume is an archive, not a disk; a disk does not become a folder; nothing is left half."""
    driver = Driver(tmp_path)
    folder = driver.create_volume("pvc-1", MIB, "Filesystem")
    (volume_path(tmp_path, folder.handle) / "disk.img").write_bytes(b"disk")
    of_folder = driver.create_snapshot("snapshot-1", folder.handle)
    device = driver.create_volume("pvc-2", MIB, "Block", snapshot_handle=of_folder.handle)
    assert volume_path(tmp_path, device.handle).read_bytes()[:2] == b"\x1f\x8b"
    of_device = driver.create_snapshot("snapshot-2", device.handle)
    with pytest.raises(DriverError, match="failed pre-populate data"):
        driver.create_volume("pvc-3", MIB, "Filesystem", snapshot_handle=of_device.handle)
    assert len(list((tmp_path / "volumes").iterdir())) == 2


def test_unknown_handles(tmp_path: Path) -> None:
    """What the driver does not know is refused in the words of the real one."""
    driver = Driver(tmp_path)
    with pytest.raises(DriverError, match="code = NotFound desc = snapshot id nope does not exist in the snapshots"):
        driver.create_volume("pvc-1", MIB, "Block", snapshot_handle="nope")
    with pytest.raises(DriverError, match="code = NotFound desc = volume id nope"):
        driver.create_snapshot("snapshot-1", "nope")
