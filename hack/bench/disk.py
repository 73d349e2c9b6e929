"""The disk that is backed up: a given one, or an ext4 image of real files; and the changes that are made to it."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
IMAGE_BYTES = 6 * GIB
_CONTENT_BYTES = int(2.85 * GIB)
"""With ext4's own tables, 2.9 GiB of the image are allocated then."""
_SOURCE = Path("/usr")
_BLOCK = 4 * KIB
_RUN_BYTES = 4 * MIB
_UUID = "5afe401d-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True)
class Change:
    """Writes of random bytes, `count` of `size_bytes` each, at places that `seed` picks among the allocated ones."""

    count: int
    size_bytes: int
    seed: int

    def apply(self, disk: Path) -> list[tuple[int, int]]:
        """Write into the disk, on 4 KiB boundaries, as a file system would; returns offsets and lengths."""
        generator = random.Random(self.seed)  # noqa: S311 - the same places in every run
        with disk.open("r+b") as file:
            places = list(self._places(file.fileno(), generator))
            for offset in places:
                file.seek(offset)
                file.write(generator.randbytes(self.size_bytes))
        return [(offset, self.size_bytes) for offset in places]

    def _places(self, descriptor: int, generator: random.Random) -> Iterator[int]:
        extents = data_extents(descriptor)
        fitting = [extent for extent in extents if extent[1] - extent[0] >= self.size_bytes]
        places = [
            (start, (end - start - self.size_bytes) // _BLOCK + 1)
            for start, end in fitting or [(0, os.lseek(descriptor, 0, os.SEEK_END))]
        ]
        for start, rooms in generator.choices(places, [rooms for _, rooms in places], k=self.count):
            yield start + generator.randrange(rooms) * _BLOCK


SCATTERED = [Change(5000, 4 * KIB, seed=1), Change(1, 20 * MIB, seed=2)]
"""Database-like: 5,000 scattered writes of 4 KiB, and 20 MiB in one piece."""
IN_RUNS = [Change(10, 4 * MIB, seed=3)]
"""As much, in few runs."""


def data_extents(descriptor: int) -> list[tuple[int, int]]:
    """Start and end of what is allocated."""
    extents = []
    position, size = 0, os.lseek(descriptor, 0, os.SEEK_END)
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # only holes follow
            break
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        extents.append((start, position))
    return extents


def allocated_bytes(disk: Path) -> int:
    """What a program has to read of the disk at least: a device has no holes."""
    if disk.is_block_device():
        with disk.open("rb") as device:
            return device.seek(0, os.SEEK_END)
    return disk.stat().st_blocks * 512


def one_percent(disk: Path, seed: int) -> Change:
    """A hundredth of what the disk holds, in runs of 4 MiB; at least one."""
    return Change(max(1, allocated_bytes(disk) // 100 // _RUN_BYTES), _RUN_BYTES, seed)


def make_image(image: Path, size_bytes: int = IMAGE_BYTES, content_bytes: int = _CONTENT_BYTES) -> Path:
    """An ext4 image of the first files of /usr in the order of their names; one that is there is taken as it is."""
    if image.exists():
        return image
    tree = image.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    left = content_bytes
    for path in _files(_SOURCE):
        size = path.stat().st_size
        if size <= left:
            left -= _taken(path, tree / path.relative_to(_SOURCE))
    fresh = image.with_suffix(".fresh")
    with fresh.open("wb") as file:
        file.truncate(size_bytes)
    features = f"lazy_itable_init=0,lazy_journal_init=0,nodiscard,hash_seed={_UUID}"
    command = ["mkfs.ext4", "-q", "-F", "-U", _UUID, "-E", features, "-d", str(tree), str(fresh)]
    subprocess.run(command, check=True, env={**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"})
    shutil.rmtree(tree)
    return fresh.rename(image)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield path


def _taken(path: Path, copy: Path) -> int:
    """Bytes that the file takes in the image, once it is in the tree: by a link where that works."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, copy)
    return -(-path.stat().st_size // _BLOCK) * _BLOCK


def sparse_copy(source: Path, target: Path) -> Path:
    """A copy with the same holes."""
    target.unlink(missing_ok=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
    return target
