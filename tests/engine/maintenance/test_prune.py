"""Pruning: what no point needs goes, in two phases; what a point needs, or a run may come to need, stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from safehold.engine.condemned import GRACE, MAX_RUN_TIME, read_condemned
from safehold.engine.maintenance.prune import Pruned, prune
from safehold.engine.points.manifest import Manifest
from safehold.engine.store.base import Body, PartialUpload
from safehold.engine.store.passing import PassingStore
from safehold.errors import ExpiredRunError, IntegrityError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]


def pass_time(laboratory: Laboratory, time: timedelta = GRACE) -> None:
    """Move the store's clock."""
    laboratory.store.now += time


def pruned(laboratory: Laboratory, *, dry_run: bool = False) -> Pruned:
    """One prune by a collector that remembers nothing."""
    return prune(laboratory.domain(create=False), dry_run=dry_run)


def forget(laboratory: Laboratory, *manifests: Manifest) -> None:
    """Forget points."""
    for manifest in manifests:
        laboratory.domain().points.forget(manifest)


def test_what_no_point_needs_goes_in_two_phases(laboratory: Laboratory, noise: Noise) -> None:
    """First condemned, deleted only when a run that may have reused it has ended; then nothing of it is left."""
    gone = laboratory.back_up(laboratory.disk(noise(60 * CHUNK)), vm="gone")
    kept = laboratory.back_up(laboratory.disk(content := noise(60 * CHUNK)))
    forget(laboratory, gone)
    pass_time(laboratory)
    before = set(laboratory.objects("packs/"))
    first = pruned(laboratory)
    assert first.condemned_packs > 5
    assert (first.swept_packs, first.points) == (0, 1)
    assert set(laboratory.objects("packs/")) == before
    pass_time(laboratory, GRACE - timedelta(seconds=1))
    early = pruned(laboratory)
    assert (early.swept_packs, early.waiting_packs, early.condemned_packs) == (0, first.condemned_packs, 0)
    pass_time(laboratory, timedelta(seconds=1))
    second = pruned(laboratory)
    assert (second.swept_packs, second.swept_bytes) == (first.condemned_packs, first.condemned_bytes)
    assert len(laboratory.objects("packs/")) == len(before) - first.condemned_packs
    assert laboratory.objects("condemned/") == []
    assert laboratory.restored(kept) == content
    assert pruned(laboratory).swept_packs == 0


def test_a_dry_run_changes_nothing_and_says_the_same(laboratory: Laboratory, noise: Noise) -> None:
    """What it announces is what the next prune does."""
    forget(laboratory, laboratory.back_up(laboratory.disk(noise(60 * CHUNK))))
    for _ in range(2):
        pass_time(laboratory)
        before = dict(laboratory.store.objects)
        announced = pruned(laboratory, dry_run=True)
        assert laboratory.store.objects == before
        assert pruned(laboratory) == announced
    assert laboratory.objects("packs/") == []
    assert laboratory.objects("index/") == []


def test_shared_chunks_stay_as_long_as_one_point_needs_them(laboratory: Laboratory, noise: Noise) -> None:
    """Forgetting one of two points frees only what the other does not need."""
    content = noise(60 * CHUNK)
    older = laboratory.back_up(laboratory.disk(content))
    newer = laboratory.back_up(laboratory.disk(changed := content[: 50 * CHUNK] + noise(10 * CHUNK)))
    forget(laboratory, older)
    for _ in range(3):
        pass_time(laboratory)
        pruned(laboratory)
    assert laboratory.restored(newer) == changed


def test_a_reused_condemned_chunk_is_uploaded_again(laboratory: Laboratory, noise: Noise) -> None:
    """A run that begins after the list was published builds on nothing that it names."""
    content = noise(60 * CHUNK)
    forget(laboratory, laboratory.back_up(laboratory.disk(content)))
    pass_time(laboratory)
    pruned(laboratory)
    manifest = laboratory.back_up(laboratory.disk(content), vm="late")
    assert manifest.volumes[0].statistics.bytes_stored > 60 * CHUNK
    assert manifest.heeded == laboratory.objects("condemned/")
    for _ in range(2):
        pass_time(laboratory)
        pruned(laboratory)
    assert laboratory.restored(manifest) == content


class MomentStore(PassingStore):
    """A store that calls back once, right before an object below `folder` is written."""

    def __init__(self, laboratory: Laboratory, folder: str, then: Callable[[], object]) -> None:
        super().__init__(laboratory.store)
        self._folder = folder
        self._then: Callable[[], object] | None = then

    def put(self, name: str, body: Body) -> None:
        """Call back, then put."""
        self._come_to(name)
        self._store.put(name, body)

    def start_upload(self, name: str) -> PartialUpload:
        """Call back, then begin."""
        self._come_to(name)
        return self._store.start_upload(name)

    def _come_to(self, name: str) -> None:
        if name.startswith(self._folder) and self._then:
            then, self._then = self._then, None
            then()


def test_a_list_that_comes_during_a_run_is_heeded_before_the_commit(laboratory: Laboratory, noise: Noise) -> None:
    """What the run reused in good faith is uploaded again, so the next collector may delete it."""
    content = noise(60 * CHUNK)
    forget(laboratory, laboratory.back_up(laboratory.disk(content)))
    pass_time(laboratory)
    # The first thing that this run writes is the pack of its changed chunk, long after it looked for the others.
    changed = noise(CHUNK) + content[CHUNK:]
    store = MomentStore(laboratory, "packs/", lambda: pruned(laboratory))
    manifest = laboratory.back_up(laboratory.disk(changed), vm="late", store=store)
    assert len(manifest.heeded) == 1
    pass_time(laboratory)
    assert pruned(laboratory).swept_packs > 5
    assert laboratory.objects("condemned/") == []
    assert laboratory.restored(manifest) == changed


def test_what_a_point_needs_that_came_too_late_for_the_list_is_not_swept(laboratory: Laboratory, noise: Noise) -> None:
    """A run that looked at the lists a moment before one was published may have reused what it names."""
    content = noise(60 * CHUNK)
    forget(laboratory, laboratory.back_up(laboratory.disk(content)))
    pass_time(laboratory)
    store = MomentStore(laboratory, "points/", lambda: pruned(laboratory))
    late = laboratory.back_up(laboratory.disk(content), vm="late", store=store)
    assert (late.heeded, len(laboratory.objects("condemned/"))) == ([], 1)
    for _ in range(3):
        pass_time(laboratory)
        pruned(laboratory)
        assert laboratory.restored(late) == content
    # The next run of the same VM does not inherit what is condemned, so that at last all of it can go.
    heir = laboratory.back_up(laboratory.disk(content), vm="late")
    assert "being collected" in heir.volumes[0].engine_reason
    forget(laboratory, late)
    for _ in range(3):
        pass_time(laboratory)
        pruned(laboratory)
    assert laboratory.objects("condemned/") == []
    assert laboratory.restored(heir) == content


def test_a_run_older_than_the_collectors_patience_does_not_commit(laboratory: Laboratory, noise: Noise) -> None:
    """It writes neither a point nor an index segment, and its retry reuses nothing that may be gone."""
    store = MomentStore(laboratory, "packs/", lambda: pass_time(laboratory, MAX_RUN_TIME))
    with pytest.raises(ExpiredRunError, match="less than 48 hours"):
        laboratory.back_up(laboratory.disk(content := noise(60 * CHUNK)), run_id="slow", store=store)
    assert laboratory.objects("points/") == laboratory.objects("index/") == []
    assert laboratory.restored(laboratory.back_up(laboratory.disk(content), run_id="slow")) == content


def test_leftovers_of_killed_runs_are_collected_when_the_run_must_be_over(laboratory: Laboratory, noise: Noise) -> None:
    """Packs that no segment names and uploads that nobody ended stay while their run may be alive, then they go."""
    manifest = laboratory.back_up(laboratory.disk(content := noise(60 * CHUNK)))
    scope = laboratory.domain().keys.scope
    kept = laboratory.objects("packs/")
    laboratory.store.put(f"packs/{scope}/ab/{'ab' * 32}", b"x" * 1000)
    laboratory.store.start_upload(f"packs/{scope}/cd/{'cd' * 32}").put_part(1, b"y")
    early = pruned(laboratory)
    assert (early.leftover_packs, early.aborted_uploads) == (0, 0)
    pass_time(laboratory)
    done = pruned(laboratory)
    assert (done.leftover_packs, done.leftover_bytes, done.aborted_uploads) == (1, 1000, 1)
    assert laboratory.objects("packs/") == kept
    assert not laboratory.store.uploads
    assert laboratory.restored(manifest) == content


def test_packs_of_a_run_that_is_under_way_are_not_condemned(laboratory: Laboratory, noise: Noise) -> None:
    """No point needs them yet, but one will."""
    content = noise(300 * CHUNK)
    reports: list[Pruned] = []
    store = MomentStore(laboratory, "points/", lambda: reports.append(pruned(laboratory)))
    manifest = laboratory.back_up(laboratory.disk(content), store=store)
    assert [report.condemned_packs for report in reports] == [0]
    assert laboratory.restored(manifest) == content


def test_nothing_is_deleted_where_a_point_cannot_be_read(laboratory: Laboratory, noise: Noise) -> None:
    """A damaged manifest or map may need everything."""
    forget(laboratory, laboratory.back_up(laboratory.disk(noise(60 * CHUNK)), vm="gone"))
    laboratory.back_up(laboratory.disk(noise(60 * CHUNK)))
    pass_time(laboratory)
    point = laboratory.objects("points/")[0]
    body = bytearray(laboratory.store.objects[point])
    body[100] ^= 1
    laboratory.store.objects[point] = bytes(body)
    before = dict(laboratory.store.objects)
    with pytest.raises(IntegrityError, match="points/"):
        pruned(laboratory)
    assert laboratory.store.objects == before


def test_a_collector_that_took_too_long_writes_nothing(laboratory: Laboratory, noise: Noise) -> None:
    """Its fold could name packs that another has swept meanwhile."""
    content = noise(60 * CHUNK)
    older = laboratory.back_up(laboratory.disk(content))
    laboratory.back_up(laboratory.disk(content[: 30 * CHUNK]))
    forget(laboratory, older)
    pass_time(laboratory)
    before = set(laboratory.store.objects)
    store = MomentStore(laboratory, "index/", lambda: pass_time(laboratory, MAX_RUN_TIME))
    with pytest.raises(ExpiredRunError):
        prune(laboratory.domain(store, create=False))
    assert set(laboratory.store.objects) == before


def test_lists_are_read_once_and_those_that_vanish_are_no_error(laboratory: Laboratory, noise: Noise) -> None:
    """Looking again costs one listing; a list that was carried out meanwhile condemns nothing any more."""
    forget(laboratory, laboratory.back_up(laboratory.disk(noise(60 * CHUNK))))
    pass_time(laboratory)
    pruned(laboratory)
    domain = laboratory.domain()
    first = read_condemned(laboratory.store, domain.keys)
    name = first.names[0]
    body = laboratory.store.objects[name]
    laboratory.store.objects[name] = b"unreadable"
    assert read_condemned(laboratory.store, domain.keys, first) == first
    laboratory.store.objects[name] = body
    laboratory.store.delete(name)
    assert read_condemned(laboratory.store, domain.keys, first).names == []
