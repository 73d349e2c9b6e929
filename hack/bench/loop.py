"""A disk image as a block device."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def loop_device(image: Path) -> Iterator[Path]:
    """A read-only loop device over the image; needs root."""
    command = ["losetup", "--find", "--show", "--read-only", str(image)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
