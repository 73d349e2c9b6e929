"""Collectors that die at any call of the store, before or after its effect: nothing is lost, and others go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from safehold.engine.condemned import GRACE
from safehold.engine.maintenance.check import check
from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune
from safehold.errors import StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

    from safehold.engine.points.manifest import Manifest
    from safehold.engine.repository import Domain

CHUNK = 512
Noise = Callable[[int], bytes]


def prepared(laboratory: Laboratory, noise: Noise) -> dict[str, tuple[Manifest, bytes]]:
    """Points that need a little of some packs, all of others and nothing of a third kind; some are condemned."""
    content = noise(16 * CHUNK)
    doomed = [
        laboratory.back_up(laboratory.disk(content)),
        laboratory.back_up(laboratory.disk(noise(8 * CHUNK)), vm="gone"),
    ]
    kept = {}
    for vm, each in (("vm", content[: 3 * CHUNK] + bytes(9 * CHUNK)), ("other", noise(3 * CHUNK))):
        kept[vm] = laboratory.back_up(laboratory.disk(each), vm=vm), each
    for manifest in doomed:
        laboratory.domain().points.forget(manifest)
    laboratory.store.now += GRACE
    prune(laboratory.domain())
    late = laboratory.back_up(laboratory.disk(noise(8 * CHUNK)), vm="gone")
    laboratory.domain().points.forget(late)
    laboratory.store.now += GRACE
    return kept


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("program", [prune, compact])
def test_a_collector_that_dies_anywhere_harms_nothing(
    laboratory: Laboratory,
    faulty: type[FaultyStore],
    noise: Noise,
    program: Callable[[Domain], object],
    after_effect: bool,
) -> None:
    """All points are whole right after, and after others have finished its work nothing of it is left over."""
    kept = prepared(laboratory, noise)
    store = laboratory.store
    before = dict(store.objects), dict(store.modified), store.now
    counting = faulty(store)
    program(laboratory.domain(counting, create=False))
    for number in range(1, counting.calls + 1):
        store.objects, store.modified, store.now = dict(before[0]), dict(before[1]), before[2]
        with suppress(StoreUnavailableError):
            program(laboratory.domain(faulty(store, fail_at=number, after_effect=after_effect), create=False))
        assert check(laboratory.domain(create=False), read_percent=100).damages == []
        for _ in range(3):
            store.now += GRACE
            prune(laboratory.domain(create=False))
        found = check(laboratory.domain(create=False), read_percent=100)
        assert (found.damages, found.leftover_packs, found.condemned_packs) == ([], 0, 0)
        assert laboratory.objects("condemned/") == []
        for manifest, content in kept.values():
            assert laboratory.restored(manifest) == content
