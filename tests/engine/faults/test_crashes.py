"""A store that fails, a process that dies, a run that is stopped: at every call, before and after its effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.disks.scan import worker_threads
from safehold.engine.keys.sealing import HEADER_BYTES
from safehold.errors import InterruptedRunError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory, StopAfter

CHUNK = 512
Noise = Callable[[int], bytes]


def calls_of(laboratory: Laboratory, faulty: type[FaultyStore], content: bytes) -> int:
    """How many calls a run over this content makes, in a repository of its own."""
    apart = type(laboratory)(laboratory.folder)
    first = apart.disk(content[: len(content) // 2])
    apart.back_up(first)
    store = faulty(apart.store)
    apart.back_up(apart.disk(content), store=store)
    return store.calls


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_run_that_dies_anywhere_harms_nothing(
    laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise, after_effect: bool
) -> None:
    """Older points stay whole, the next attempt makes a whole point, and no key and nonce seal two things."""
    content = noise(60 * CHUNK)
    bodies: list[tuple[str, bytes]] = []
    calls = calls_of(laboratory, faulty, content)
    assert calls > 20
    for number in range(1, calls + 1):
        lab = type(laboratory)(laboratory.folder)
        older = lab.back_up(lab.disk(content[: len(content) // 2]))
        store = faulty(lab.store, fail_at=number, after_effect=after_effect)
        disk = lab.disk(content)
        try:
            lab.back_up(disk, store=store, run_id="run")
        except StoreUnavailableError:
            # Only the last call can fail after the point exists: its effect is the point.
            assert lab.domain().points.of_run(lab.owner(), "run") is None or after_effect
        retried = faulty(lab.store)
        newer = lab.back_up(disk, store=retried, run_id="run")
        assert lab.restored(newer) == content
        assert lab.restored(older) == content[: len(content) // 2]
        assert len(lab.objects("points/")) == 2
        bodies += store.bodies + retried.bodies
    assert_nothing_sealed_twice(bodies)


def assert_nothing_sealed_twice(bodies: list[tuple[str, bytes]]) -> None:
    """One salt, one object: what was sent under a salt was always the same, so no nonce met a second plain text."""
    salts: dict[bytes, set[str]] = defaultdict(set)
    contents: dict[str, set[bytes]] = defaultdict(set)
    for name, body in bodies:
        contents[name].add(body)
        if body.startswith(b"SAFEHOLD"):
            salts[body[HEADER_BYTES - 32 : HEADER_BYTES]].add(name)
    assert len(salts) > 20
    assert all(len(names) == 1 for names in salts.values())
    assert all(len(sent) == 1 for sent in contents.values())


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_restore_that_loses_the_store_hands_nothing_over(
    laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise, after_effect: bool
) -> None:
    """Whenever the store goes away, there is no file of the final name, and the next attempt succeeds."""
    content = noise(30 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    counting = faulty(laboratory.store)
    laboratory.restored(manifest, store=counting)
    for number in range(1, counting.calls + 1):
        store = faulty(laboratory.store, fail_at=number, after_effect=after_effect)
        with pytest.raises(StoreUnavailableError):
            laboratory.restored(manifest, store=store)
        assert not (laboratory.folder / "restored").exists()
        assert laboratory.restored(manifest) == content


def test_a_failed_run_aborts_its_uploads(laboratory: Laboratory, faulty: type[FaultyStore], noise: Noise) -> None:
    """A store that comes back is not left with parts that nobody will ever complete, wherever the run has failed."""
    content = noise(60 * CHUNK)
    begun = 0
    for number in range(1, calls_of(laboratory, faulty, content)):
        lab = type(laboratory)(laboratory.folder)
        store = faulty(lab.store, fail_at=number)
        with pytest.raises(StoreUnavailableError):
            lab.back_up(lab.disk(content), store=store)
        begun += any("#" in name for name, _ in store.bodies)
        assert not lab.store.uploads
    assert begun > 10


UNDER_WAY = 2 * worker_threads()
"""Batches that are read before the first is packed."""


@pytest.mark.parametrize("looks", [0, 1, UNDER_WAY, UNDER_WAY + 1, UNDER_WAY + 8])
def test_a_stopped_run_is_continued_by_the_next(
    laboratory: Laboratory, stop_after: type[StopAfter], noise: Noise, looks: int
) -> None:
    """There is no point yet, but what was sent is named in the index and is not sent again."""
    content = noise(160 * CHUNK)
    disk = laboratory.disk(content)
    with pytest.raises(InterruptedRunError):
        laboratory.back_up(disk, run_id="run", stop=stop_after(looks))
    assert laboratory.objects("points/") == []
    sent = sum(len(laboratory.store.objects[name]) for name in laboratory.objects("packs/"))
    manifest = laboratory.back_up(disk, run_id="run")
    assert laboratory.restored(manifest) == content
    kept = sum(len(laboratory.store.objects[name]) for name in laboratory.objects("packs/"))
    assert kept < 160 * (CHUNK + 80) * 1.25
    assert manifest.volumes[0].statistics.bytes_stored <= kept - sent
    assert (sent > 0) == (looks > UNDER_WAY)


def test_a_store_that_fails_while_a_run_is_stopped_is_reported(
    laboratory: Laboratory, faulty: type[FaultyStore], stop_after: type[StopAfter], noise: Noise
) -> None:
    """The failure is told, not the stop: the next attempt has to send more than it would think."""
    calls = calls_of(laboratory, faulty, noise(60 * CHUNK))
    store = faulty(laboratory.store, fail_at=calls // 3)
    with pytest.raises(StoreUnavailableError):
        laboratory.back_up(laboratory.disk(noise(200 * CHUNK)), store=store, stop=stop_after(20))
