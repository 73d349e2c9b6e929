"""Disks that cannot take a restore to its end."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.engine.geometry import MIB
from safehold.engine.restore import fill
from safehold.errors import VolumeError
from safehold.reasons import Reason

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

    from safehold.engine.points.manifest import Manifest

Noise = Callable[[int], bytes]


@pytest.fixture
def small_filesystem(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(4 * MIB)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill_in(lab: Laboratory, manifest: Manifest, disk: Path, *, in_place: bool) -> None:
    """Restore onto this path."""
    fill(
        lab.domain(create=False),
        manifest,
        "root",
        disk,
        stop=threading.Event(),
        progress=lambda _: None,
        in_place=in_place,
    )


@pytest.mark.parametrize(
    ("in_place", "said"), [(False, "was not touched"), (True, "it is filled in part, do not use it")]
)
def test_a_file_system_that_is_full_ends_the_restore(
    laboratory: Laboratory, noise: Noise, small_filesystem: Path, in_place: bool, said: str
) -> None:
    """The failure says where, why, and what state the disk is in; no file of the final name is new."""
    laboratory.geometry = type(laboratory.geometry)()
    manifest = laboratory.back_up(laboratory.disk(noise(8 * MIB)))
    disk = small_filesystem / "disk.img"
    if in_place:
        disk.touch()
        os.truncate(disk, 8 * MIB)
    with pytest.raises(
        VolumeError, match=f"(cannot be written at|could not be written to).*No space left.*{said}"
    ) as caught:
        fill_in(laboratory, manifest, disk, in_place=in_place)
    assert caught.value.reason is Reason.VOLUME_ERROR
    assert disk.exists() == in_place
