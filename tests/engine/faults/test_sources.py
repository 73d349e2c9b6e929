"""Disks that shrink, vanish, grow or fail while they are read: a point has the whole disk, or there is none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.geometry import KIB, MIB
from safehold.errors import VolumeError
from safehold.reasons import Reason

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory
    from tests.engine.faults.conftest import Meanwhile

CHUNK = 512
Noise = Callable[[int], bytes]
_CHUNKS = 400


def shrink(disk: Path, size_bytes: int) -> None:
    """Cut the file, as an administrator or a full thin pool would."""
    os.truncate(disk, size_bytes)


def has_run(lab: Laboratory, run_id: str) -> bool:
    """Whether the run has made a point."""
    return lab.domain().points.of_run(lab.owner(), run_id) is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    looks=st.integers(1, 60),
    size_chunks=st.integers(0, _CHUNKS - 1),
    hole=st.sampled_from([None, (0, 200), (150, 390), (300, _CHUNKS)]),
)
def test_a_disk_that_shrinks_never_replaces_a_good_point(
    laboratory: Laboratory,
    noise: Noise,
    meanwhile: type[Meanwhile],
    looks: int,
    size_chunks: int,
    hole: tuple[int, int] | None,
) -> None:
    """Whenever it is cut, and wherever its holes are: the run fails and names the disk, or had read all of it."""
    lab = type(laboratory)(laboratory.folder)
    content = bytearray(noise(_CHUNKS * CHUNK))
    if hole:
        content[hole[0] * CHUNK : hole[1] * CHUNK] = bytes((hole[1] - hole[0]) * CHUNK)
    older = lab.back_up(lab.disk(noise(5 * CHUNK), "older"), vm="vm")
    disk = lab.disk(bytes(content))
    stop = meanwhile(looks, lambda: shrink(disk, size_chunks * CHUNK))
    try:
        point = lab.back_up(disk, run_id="cut", stop=stop)
    except VolumeError:
        assert not has_run(lab, "cut")
        latest = lab.domain().points.latest(lab.owner())
        assert latest is not None
        assert latest.point == older.point
    else:
        assert lab.restored(point) == content


def test_a_disk_that_ended_is_named(laboratory: Laboratory, noise: Noise, meanwhile: type[Meanwhile]) -> None:
    """The sentence has the disk, the size that it had, and where it ends now."""
    disk = laboratory.disk(noise(_CHUNKS * CHUNK))
    expected = rf"{disk} ended while it was read: expected {_CHUNKS * CHUNK} bytes, found \d+"
    with pytest.raises(VolumeError, match=expected) as caught:
        laboratory.back_up(disk, stop=meanwhile(2, lambda: shrink(disk, 100)))
    assert caught.value.reason is Reason.VOLUME_ERROR


def test_a_disk_that_grows_is_stored_as_it_was(
    laboratory: Laboratory, noise: Noise, meanwhile: type[Meanwhile]
) -> None:
    """Its size is taken once; what comes later belongs to the next point."""
    content = noise(_CHUNKS * CHUNK)
    disk = laboratory.disk(content)
    more = noise(10 * CHUNK)

    def grow() -> None:
        with disk.open("ab") as file:
            file.write(more)

    point = laboratory.back_up(disk, stop=meanwhile(3, grow))
    assert laboratory.restored(point) == content
    assert laboratory.restored(laboratory.back_up(disk)) == content + more


def test_a_disk_that_is_unlinked_is_read_to_its_end(
    laboratory: Laboratory, noise: Noise, meanwhile: type[Meanwhile]
) -> None:
    """What is open stays: a snapshot's file that loses its name costs nothing."""
    content = noise(_CHUNKS * CHUNK)
    disk = laboratory.disk(content)
    assert laboratory.restored(laboratory.back_up(disk, stop=meanwhile(3, disk.unlink))) == content


@contextmanager
def failing_device(folder: Path, content: bytes, good_bytes: int) -> Iterator[Path]:
    """A real block device whose end cannot be read: a loop device over a file that was cut after it was attached."""
    image = folder / "image"
    image.write_bytes(content)
    attach = ["losetup", "--find", "--show", "--read-only", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        shrink(image, good_bytes)
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_a_device_that_cannot_be_read_ends_the_run(laboratory: Laboratory, noise: Noise) -> None:
    """An I/O error in the middle: the run fails and says where, and the point before stays the newest."""
    content = noise(2 * MIB)
    older = laboratory.back_up(laboratory.disk(content))
    with (
        failing_device(laboratory.folder, content, good_bytes=MIB + 4 * KIB) as device,
        pytest.raises(VolumeError, match=rf"{device} cannot be read at \d+: found Input/output error"),
    ):
        laboratory.back_up(device, run_id="failing")
    assert not has_run(laboratory, "failing")
    assert laboratory.restored(older) == content
