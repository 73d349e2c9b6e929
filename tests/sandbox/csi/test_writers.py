"""Programs that write to a file stand still while it is copied, and go on afterwards."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.csi.driver import Driver, DriverError, volume_path
from sandbox.csi.writers import stopped_writers, writers_of

_COUNT = """
import os, sys
files = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]
number = 0
print("ready", flush=True)
while True:
    number += 1
    for file in files:
        os.pwrite(file, b"%016d" % number, 0)
"""


@contextmanager
def counting(*paths: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes the same growing number to all files, one after another."""
    command = [sys.executable, "-c", _COUNT, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def number_in(path: Path) -> int:
    """What the program wrote last."""
    with path.open("rb") as file:
        return int(file.read(16))


def goes_on(path: Path) -> bool:
    """Whether the number still grows."""
    before, end = number_in(path), time.monotonic() + 10
    while time.monotonic() < end:
        if number_in(path) > before:
            return True
    return False


def test_who_writes_stands_still(tmp_path: Path) -> None:
    """While it is held nothing changes; a reader is left alone, and the writer goes on at the end."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(16))
    with counting(path) as writer, path.open("rb"):
        assert writers_of([tmp_path]) == [writer.pid]
        with stopped_writers([tmp_path]):
            before = path.read_bytes()
            time.sleep(0.05)
            assert path.read_bytes() == before
        assert goes_on(path)


def test_a_group_shows_one_instant_of_all_its_volumes(tmp_path: Path) -> None:
    """A program writes each number to both volumes in turn: the copies differ by one at most."""
    driver = Driver(tmp_path)
    volumes = [driver.create_volume(f"pvc-{number}", 1 << 20, "Block") for number in range(2)]
    paths = [volume_path(tmp_path, volume.handle) for volume in volumes]
    with counting(*paths):
        for round_ in range(20):
            _, members = driver.create_group(f"group-{round_}", [volume.handle for volume in volumes])
            first, second = (number_in(driver.snapshot_path(member.handle)) for member in members)
            assert first - second in (0, 1)
            assert len({member.created_ns for member in members}) == 1
        assert goes_on(paths[0])


def test_a_driver_that_starts_lets_go_of_writers(tmp_path: Path) -> None:
    """One that was killed in the middle of a cut left them stopped."""
    driver = Driver(tmp_path)
    path = volume_path(tmp_path, driver.create_volume("pvc", 1 << 20, "Block").handle)
    with counting(path):
        held = stopped_writers([path])
        held.__enter__()
        Driver(tmp_path)
        assert goes_on(path)


def test_a_group_is_made_and_deleted_once(tmp_path: Path) -> None:
    """The same name gives the same group, also after a restart; its members go with it and never alone."""
    driver = Driver(tmp_path)
    volumes = [driver.create_volume(f"pvc-{number}", 1 << 20, "Filesystem") for number in range(2)]
    handles = [volume.handle for volume in volumes]
    group, members = driver.create_group("group-1", handles)
    again = Driver(tmp_path)
    assert again.create_group("group-1", handles) == (group, members)
    with pytest.raises(DriverError, match="belongs to a group"):
        again.delete_snapshot(members[0].handle)
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    for _ in range(2):
        again.delete_group(group.handle)
    assert list((tmp_path / "snapshots").iterdir()) == []
    assert again.find_snapshot(members[0].handle) is None
