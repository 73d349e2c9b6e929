"""Checking: damage is found and named with what it hits, and told from what runs leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.condemned import GRACE
from safehold.engine.maintenance.check import Checked, check
from safehold.engine.maintenance.losses import Loss
from safehold.engine.maintenance.reindexing import reindex

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]


def checked(laboratory: Laboratory, *, read_percent: float = 0) -> Checked:
    """One check by somebody who remembers nothing."""
    return check(laboratory.domain(create=False), read_percent=read_percent)


def flip(laboratory: Laboratory, name: str, at: int) -> None:
    """Change one bit of an object."""
    body = bytearray(laboratory.store.objects[name])
    body[at] ^= 1
    laboratory.store.objects[name] = bytes(body)


def test_a_sound_repository_is_told_as_sound(laboratory: Laboratory, noise: Noise) -> None:
    """Whatever was read of it; all that points need is counted once."""
    content = noise(40 * CHUNK)
    for vm in ("one", "two"):
        laboratory.back_up(laboratory.disk(content), vm=vm)
    for percent in (0, 30, 100):
        found = checked(laboratory, read_percent=percent)
        assert (found.damages, found.losses, found.unreadable_points) == ([], [], [])
        assert (found.points, found.leftover_packs) == (2, 0)
        assert 40 < found.chunks < 60
        assert found.packs_read == -(-found.packs * percent // 100)


def test_every_flipped_bit_in_a_pack_is_found_by_reading_it(laboratory: Laboratory, noise: Noise) -> None:
    """In its header, its frames, its table of contents and its trailer; the sentence names the pack."""
    laboratory.back_up(laboratory.disk(noise(6 * CHUNK)))
    name = laboratory.objects("packs/")[0]
    # The fields of the header that tell lengths are zero in packs and bound to nothing but the magic's parse.
    for at in [0, 9, 30, 50, *range(72, len(laboratory.store.objects[name]), 37)]:
        flip(laboratory, name, at)
        found = checked(laboratory, read_percent=100)
        assert any(name in problem for problem in found.damages), at
        flip(laboratory, name, at)
    assert checked(laboratory, read_percent=100).damages == []


def test_damaged_chunks_are_named_with_the_ranges_that_they_hit(laboratory: Laboratory, noise: Noise) -> None:
    """Of every point and volume that needs them, neighbours joined; other points are not accused."""
    content = noise(8 * CHUNK)
    older = laboratory.back_up(laboratory.disk(content))
    first = laboratory.objects("packs/")[0]
    newer = laboratory.back_up(laboratory.disk(noise(4 * CHUNK) + content[4 * CHUNK :]))
    laboratory.back_up(laboratory.disk(noise(8 * CHUNK)), vm="other")
    flip(laboratory, first, 80)
    found = checked(laboratory, read_percent=100)
    assert len(found.damages) == 1
    hit = {(loss.point, loss.volume) for loss in found.losses}
    assert (older.point, "root") in hit
    assert hit <= {(older.point, "root"), (newer.point, "root")}
    assert all(loss.vm == "vm" and loss.offset % CHUNK == 0 and loss.length % CHUNK == 0 for loss in found.losses)


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_pack_that_is_gone_or_cut_is_found_without_reading(laboratory: Laboratory, noise: Noise, how: str) -> None:
    """The listing of the packs tells it, and everything in it is lost."""
    manifest = laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    for name in laboratory.objects("packs/"):
        if how == "missing":
            laboratory.store.delete(name)
        else:
            laboratory.store.objects[name] = laboratory.store.objects[name][:-1]
    found = checked(laboratory)
    assert len(found.damages) >= found.packs
    assert found.losses == [Loss(manifest.point, "shop", "vm", "root", 0, 40 * CHUNK)]


def test_a_damaged_segment_hides_nothing_else(laboratory: Laboratory, noise: Noise) -> None:
    """What other segments list is checked as ever; what only the damaged one listed is lost."""
    first = laboratory.back_up(laboratory.disk(noise(20 * CHUNK)), vm="one")
    before = set(laboratory.objects("index/"))
    laboratory.back_up(laboratory.disk(noise(20 * CHUNK)), vm="two")
    (name,) = set(laboratory.objects("index/")) - before
    flip(laboratory, name, len(laboratory.store.objects[name]) // 2)
    found = checked(laboratory)
    assert any(name in problem for problem in found.damages)
    assert {loss.vm for loss in found.losses} == {"two"}
    assert first.point not in {loss.point for loss in found.losses}


def test_an_unreadable_point_is_named(laboratory: Laboratory, noise: Noise) -> None:
    """The others are checked all the same."""
    broken = laboratory.back_up(laboratory.disk(noise(4 * CHUNK)), vm="one")
    laboratory.back_up(laboratory.disk(noise(4 * CHUNK)), vm="two")
    name = next(name for name in laboratory.objects("points/") if broken.point.split("-")[0] in name)
    flip(laboratory, name, 90)
    found = checked(laboratory)
    assert found.unreadable_points == [broken.point]
    assert (found.points, len(found.damages), found.losses) == (1, 1, [])


def test_leftovers_are_no_damage(laboratory: Laboratory, noise: Noise) -> None:
    """Packs and uploads of killed runs are counted, and nothing is called damaged."""
    laboratory.back_up(laboratory.disk(noise(4 * CHUNK)))
    scope = laboratory.domain().keys.scope
    laboratory.store.put(f"packs/{scope}/ab/{'ab' * 32}", b"x" * 1000)
    laboratory.store.start_upload(f"packs/{scope}/cd/{'cd' * 32}").put_part(1, b"y")
    laboratory.store.now += GRACE
    found = checked(laboratory)
    assert (found.damages, found.leftover_packs, found.abandoned_uploads) == ([], 1, 1)


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_lost_index_is_made_again_from_the_packs(laboratory: Laboratory, noise: Noise, how: str) -> None:
    """From their tables of contents; what was needed is found again, and nothing else was ever lost."""
    first = laboratory.back_up(laboratory.disk(content := noise(20 * CHUNK)))
    second = laboratory.back_up(laboratory.disk(changed := noise(5 * CHUNK) + content[5 * CHUNK :]))
    for name in laboratory.objects("index/"):
        if how == "missing":
            laboratory.store.delete(name)
        else:
            flip(laboratory, name, len(laboratory.store.objects[name]) // 2)
    found = checked(laboratory)
    assert found.losses
    assert found.index_damaged
    done = reindex(laboratory.domain(create=False))
    assert done.packs == len(laboratory.objects("packs/"))
    assert checked(laboratory, read_percent=100).damages == []
    assert laboratory.restored(first) == content
    assert laboratory.restored(second) == changed
