"""Compacting: sparse and small packs are rewritten, the index is folded, and every point stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from safehold.engine.condemned import GRACE
from safehold.engine.maintenance.check import check
from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

    from safehold.engine.points.manifest import Manifest

CHUNK = 512
Noise = Callable[[int], bytes]


def settle(laboratory: Laboratory) -> None:
    """Let so much time pass that no run can be under way."""
    laboratory.store.now += GRACE


def stored(laboratory: Laboratory) -> int:
    """Bytes of all packs."""
    return sum(len(laboratory.store.objects[name]) for name in laboratory.objects("packs/"))


def test_sparse_packs_are_rewritten(laboratory: Laboratory, noise: Noise) -> None:
    """A pack of which a point needs little costs little more than that in the end."""
    content = noise(64 * CHUNK)
    full = laboratory.back_up(laboratory.disk(content))
    kept = b"".join(content[at * CHUNK : (at + 1) * CHUNK] + bytes(3 * CHUNK) for at in range(0, 64, 4))
    sparse = laboratory.back_up(laboratory.disk(kept))
    laboratory.domain().points.forget(full)
    settle(laboratory)
    before = stored(laboratory)
    announced = compact(laboratory.domain(), dry_run=True)
    done = compact(laboratory.domain())
    assert done.sparse_packs == announced.sparse_packs > 3
    assert done.new_bytes < before / 2
    assert laboratory.restored(sparse) == kept
    settle(laboratory)
    prune(laboratory.domain())
    assert stored(laboratory) < before / 2
    assert laboratory.restored(sparse) == kept
    assert check(laboratory.domain(), read_percent=100).damages == []


def test_small_packs_are_joined_and_segments_folded(laboratory: Laboratory, noise: Noise) -> None:
    """Old increments do not stay thousands of objects; a second time there is nothing to do."""
    content = bytearray(noise(32 * CHUNK))
    manifests: list[tuple[Manifest, bytes]] = []
    for at in range(12):
        content[at * CHUNK : (at + 1) * CHUNK] = noise(CHUNK)
        manifests.append((laboratory.back_up(laboratory.disk(bytes(content))), bytes(content)))
    settle(laboratory)
    packs, segments = len(laboratory.objects("packs/")), len(laboratory.objects("index/"))
    done = compact(laboratory.domain())
    assert done.small_packs > 8
    settle(laboratory)
    prune(laboratory.domain())
    assert len(laboratory.objects("packs/")) < packs
    assert len(laboratory.objects("index/")) < segments
    for manifest, expected in manifests:
        assert laboratory.restored(manifest) == expected


def test_clones_of_one_image_that_ran_side_by_side_are_folded_into_one(laboratory: Laboratory, noise: Noise) -> None:
    """What several runs uploaded at the same time is kept once in the end."""
    content = noise(40 * CHUNK)
    alone = laboratory.back_up(laboratory.disk(content), vm="first")
    one = stored(laboratory)
    others = []
    for number in range(5):
        hidden = {name: laboratory.store.objects.pop(name) for name in laboratory.objects("index/")}
        others.append(laboratory.back_up(laboratory.disk(content), vm=f"clone-{number}"))
        laboratory.store.objects.update(hidden)
    assert stored(laboratory) > 5 * one
    for step in (compact, prune, compact, prune):
        settle(laboratory)
        step(laboratory.domain())
    assert stored(laboratory) <= 1.05 * one
    for manifest in (alone, *others):
        assert laboratory.restored(manifest) == content
