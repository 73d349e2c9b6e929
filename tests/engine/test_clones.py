"""Many virtual machines that were cloned from one image."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from safehold.engine.geometry import FORMAT_1, KIB, MIB
from safehold.engine.index.folding import fold

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CLONES = 50
IMAGE_BYTES = 16 * MIB
OWN_BYTES = FORMAT_1.chunk_bytes


def stored(laboratory: Laboratory) -> int:
    """Bytes of all objects."""
    return sum(entry.size_bytes for entry in laboratory.store.list(""))


@pytest.mark.parametrize("folded", [False, True])
def test_clones_cost_what_differs(laboratory: Laboratory, folded: bool) -> None:
    """One after another: at most 1.05 times the bytes of one, and their own, also where maintenance folds between."""
    laboratory.geometry = FORMAT_1
    image = secrets.token_bytes(IMAGE_BYTES)
    disk = laboratory.folder / "root"
    disk.write_bytes(image)
    laboratory.back_up(disk, vm="golden")
    one = stored(laboratory)
    for number in range(CLONES):
        at = number * 64 * KIB
        content = image[:at] + secrets.token_bytes(1000) + image[at + 1000 :]
        disk.write_bytes(content)
        manifest = laboratory.back_up(disk, vm=f"clone-{number}")
        assert manifest.volumes[0].statistics.bytes_stored <= 1.2 * OWN_BYTES
        if folded and number % 10 == 9:
            done = fold(laboratory.domain())
            for name in done.replaced if done else ():
                laboratory.store.delete(name)
    assert stored(laboratory) <= 1.05 * one + CLONES * OWN_BYTES
    assert laboratory.restored(manifest) == content
