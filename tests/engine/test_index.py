"""The index: segments that are found, followed, merged and reused from."""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.index.folding import fold
from safehold.engine.index.lookup import MOST_SEGMENTS, Index
from safehold.engine.packing.contents import FinishedPack, PackedChunk
from safehold.errors import IntegrityError, KeyMaterialError, StoreUnavailableError, VolumeError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512


def pack_of(ids: list[bytes], lock_until: int = 0) -> FinishedPack:
    """A pack that holds these chunks, as far as the index is told."""
    chunks = [PackedChunk(chunk_id, n, 72 + 100 * n, 100, CHUNK) for n, chunk_id in enumerate(ids)]
    return FinishedPack(secrets.token_bytes(32), secrets.token_bytes(16), 72 + 100 * len(ids), chunks, lock_until)


def some_ids(count: int) -> list[bytes]:
    """New ids."""
    return [secrets.token_bytes(32) for _ in range(count)]


def index_of(laboratory: Laboratory) -> Index:
    """The domain's index, opened anew."""
    return laboratory.domain().index


def written(laboratory: Laboratory, *packs: FinishedPack) -> dict[str, int]:
    """A run that wrote these packs; what its manifest names."""
    index = index_of(laboratory)
    index.add(list(packs))
    return index.segments()


ids = st.binary(min_size=32, max_size=32)
# Ids that share their first bytes meet the fences between blocks.
crowded = st.builds(lambda tail: bytes(8) + tail, st.binary(min_size=24, max_size=24))
runs_of_ids = st.lists(st.lists(st.one_of(ids, crowded), min_size=1, max_size=40, unique=True), max_size=6)
property_settings = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@property_settings
@given(runs_of_ids, st.lists(ids, max_size=5), st.booleans())
def test_the_index_finds_what_was_added_and_nothing_else(
    laboratory: Laboratory, runs: list[list[bytes]], strangers: list[bytes], folded: bool
) -> None:
    """Over any number of segments, blocks and packs, by whoever opens it later, before and after they are folded."""
    laboratory.store.objects.clear()
    places: dict[bytes, set[tuple[bytes, int]]] = defaultdict(set)
    for run in runs:
        pack = pack_of(run)
        written(laboratory, pack)
        for chunk in pack.chunks:
            places[chunk.id].add((pack.id, chunk.frame))
    if folded and (result := fold(laboratory.domain(), everything=True)):
        for name in result.replaced:
            laboratory.store.delete(name)
    index = index_of(laboratory)
    found = index.locate([*places, *strangers])
    assert found.keys() == places.keys()
    assert index.known([*places, *strangers]) == places.keys()
    for chunk_id, location in found.items():
        assert (location.pack.id, location.frame) in places[chunk_id]


@property_settings
@given(runs_of_ids)
def test_what_a_manifest_names_suffices(laboratory: Laboratory, runs: list[list[bytes]]) -> None:
    """Each run follows the one before; the last one's few segments list all chunks, whatever else is deleted."""
    laboratory.store.objects.clear()
    named: dict[str, int] = {}
    for run in runs:
        index = index_of(laboratory)
        index.follow(named)
        index.add([pack_of(run)])
        named = index.segments()
        assert len(named) <= MOST_SEGMENTS
    for name in laboratory.objects("index/"):
        if name.rpartition("/")[2] not in named:
            laboratory.store.delete(name)
    wanted = {chunk_id for run in runs for chunk_id in run}
    index = index_of(laboratory)
    index.follow(named)
    assert index.locate(wanted).keys() == wanted


def test_a_run_sees_its_own_chunks_before_and_after_a_segment_is_written(laboratory: Laboratory) -> None:
    """Claimed chunks are known at once, also across the moment in which their segment is written."""
    index = index_of(laboratory)
    chunk_ids = some_ids(10)
    assert index.claim(chunk_ids) == set(chunk_ids)
    assert index.known(chunk_ids) == set(chunk_ids)
    index.add([pack_of(chunk_ids)])
    index.flush()
    assert index.known(chunk_ids) == set(chunk_ids)
    assert index.claim(chunk_ids) == set()


def test_segments_are_closed_by_entries(laboratory: Laboratory) -> None:
    """A killed run loses at most one segment's worth."""
    index = index_of(laboratory)
    for _ in range(4):
        index.add([pack_of(some_ids(33))])
    assert len(laboratory.objects("index/")) == 2


def test_a_long_run_searches_few_segments_of_its_own(laboratory: Laboratory) -> None:
    """However many segments a run writes on its way, it merges them, and still knows every chunk."""
    index = index_of(laboratory)
    wrote = some_ids(64 * 40)
    for at in range(0, len(wrote), 64):
        index.add([pack_of(wrote[at : at + 64])])
        assert len(index._segments.own) <= 2 * MOST_SEGMENTS
    assert index.known(wrote) == set(wrote)
    assert index.locate(wrote).keys() == set(wrote)


def test_nothing_is_loaded_while_nothing_new_is_asked(laboratory: Laboratory, faulty: type[FaultyStore]) -> None:
    """A run that finds nothing new never lists the segments."""
    written(laboratory, pack_of(some_ids(1)))
    store = faulty(laboratory.store)
    domain = laboratory.domain(store)
    before = store.calls
    assert domain.index.known([]) == set()
    assert domain.index.locate([]) == {}
    assert store.calls == before


def test_neighbouring_blocks_are_read_with_one_request(
    laboratory: Laboratory, faulty: type[FaultyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that wants a whole segment does not ask block by block, and asks once."""
    monkeypatch.setattr("safehold.engine.index.segment_reading._FIRST_READ_BYTES", 1024)
    chunk_ids = some_ids(60)
    named = written(laboratory, pack_of(chunk_ids))
    store = faulty(laboratory.store)
    index = laboratory.domain(store).index
    index.follow(named)
    before = store.calls
    assert len(index.locate(chunk_ids)) == 60
    assert len(index.locate(chunk_ids)) == 60
    assert store.calls - before == 2  # front, blocks


def test_blocks_that_come_along_are_kept(
    laboratory: Laboratory, faulty: type[FaultyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between two blocks that were wanted is not read again; if it is damaged, only who wants it is told."""
    monkeypatch.setattr("safehold.engine.index.segment_reading._FIRST_READ_BYTES", 1024)
    chunk_ids = sorted(some_ids(60))
    named = written(laboratory, pack_of(chunk_ids))
    store = faulty(laboratory.store)
    index = laboratory.domain(store).index
    index.follow(named)
    ends = {chunk_ids[0], chunk_ids[-1]}
    assert len(index.locate(ends)) == 2
    before = store.calls
    assert len(index.locate(chunk_ids)) == 60
    assert store.calls == before

    (name,) = laboratory.objects("index/")
    whole = laboratory.store.objects[name]
    middle = len(whole) // 3
    laboratory.store.objects[name] = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    index = laboratory.domain().index
    index.follow(named)
    assert len(index.locate(ends)) == 2
    with pytest.raises(IntegrityError, match=name):
        index.locate(chunk_ids)


def test_a_missing_chunk_is_named(laboratory: Laboratory) -> None:
    """A segment that is gone is found when a map needs it."""
    manifest = laboratory.back_up(laboratory.disk(secrets.token_bytes(2000)))
    for name in laboratory.objects("index/"):
        del laboratory.store.objects[name]
    with pytest.raises(IntegrityError, match="an index segment is missing"):
        laboratory.restored(manifest)


@pytest.mark.parametrize(
    ("lock_until", "wanted", "reused"),
    [(0, 0, True), (500, 0, True), (500, 500, True), (499, 500, False), (0, 1, False)],
)
def test_a_chunk_is_reused_only_if_its_lock_lasts(
    laboratory: Laboratory, lock_until: int, wanted: int, reused: bool
) -> None:
    """What a store may delete before the new point's period is over is uploaded again."""
    chunk_ids = some_ids(3)
    pack = pack_of(chunk_ids, lock_until)
    written(laboratory, pack)
    index = index_of(laboratory)
    index.reuse_only(locked_until=wanted)
    assert index.known(chunk_ids) == (set(chunk_ids) if reused else set())
    assert [row.id for row in index.reused_packs] == ([pack.id] if reused else [])


def test_a_chunk_is_not_reused_from_a_pack_to_avoid(laboratory: Laboratory) -> None:
    """What a collector is going to delete is uploaded again, and still located meanwhile."""
    condemned, kept = pack_of(some_ids(3)), pack_of(some_ids(3))
    written(laboratory, condemned, kept)
    index = index_of(laboratory)
    index.reuse_only(avoid=[condemned.id])
    everything = [chunk.id for pack in (condemned, kept) for chunk in pack.chunks]
    assert index.known(everything) == {chunk.id for chunk in kept.chunks}
    assert index.locate(everything).keys() == set(everything)


def test_a_manifest_names_the_segments_of_others_that_it_reused_from(laboratory: Laboratory) -> None:
    """So that its chunks are found without looking everywhere."""
    shared = some_ids(5)
    theirs = written(laboratory, pack_of(shared))
    written(laboratory, pack_of(some_ids(5)))
    index = index_of(laboratory)
    assert index.known(shared) == set(shared)
    index.add([pack_of(some_ids(2))])
    named = index.segments()
    assert theirs.items() <= named.items()
    assert len(named) == 2


def test_a_repeated_run_finds_what_its_earlier_attempt_has_written(laboratory: Laboratory) -> None:
    """However much others have written meanwhile, and however often the earlier attempt merged its segments."""
    attempt = index_of(laboratory)
    attempt.begin("run")
    wrote = some_ids(64 * 30)
    for at in range(0, len(wrote), 64):
        laboratory.store.now += timedelta(seconds=1)
        attempt.add([pack_of(wrote[at : at + 64])])
    laboratory.store.now += timedelta(seconds=1)
    for _ in range(10):
        written(laboratory, pack_of(some_ids(2500)))
    for run_id, found in (("run", len(wrote)), ("another", 0)):
        index = index_of(laboratory)
        index.begin(run_id)
        assert len(index.known(wrote)) == found


def test_a_missing_folder_for_temporary_files_is_named(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filters of a large domain need room on disk: who runs it learns how much, and where."""
    written(laboratory, pack_of(some_ids(3)))
    monkeypatch.setattr("tempfile.tempdir", str(laboratory.folder / "absent"))
    with pytest.raises(VolumeError, match="TMPDIR"):
        index_of(laboratory).known(some_ids(1))


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damage_of_a_segment_is_named(laboratory: Laboratory, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever byte of it differs, and wherever it ends: what it lists is never taken for true."""
    monkeypatch.setattr("safehold.engine.index.segment_reading._FIRST_READ_BYTES", 1024)
    chunk_ids = sorted(some_ids(30))
    written(laboratory, pack_of(chunk_ids))

    def ask(index: Index) -> None:
        index.known(chunk_ids)
        index.locate(chunk_ids)

    (name,) = laboratory.objects("index/")
    whole = laboratory.store.objects[name]
    # The header at the beginning is told again at the end, and read with short segments only.
    for at in range(72, len(whole), 7):
        flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        laboratory.store.objects[name] = whole[:at] if damage == "cut" else flipped
        with pytest.raises((IntegrityError, KeyMaterialError), match=name):
            ask(index_of(laboratory))


@pytest.mark.parametrize("after_effect", [False, True])
def test_folding_that_is_cut_off_anywhere_loses_nothing(
    laboratory: Laboratory, faulty: type[FaultyStore], after_effect: bool
) -> None:
    """At every call to the store: all chunks are located, and the next attempt folds."""
    wrote = [some_ids(60) for _ in range(6)]
    for chunk_ids in wrote:
        written(laboratory, pack_of(chunk_ids))
    everything = {chunk_id for chunk_ids in wrote for chunk_id in chunk_ids}
    before = dict(laboratory.store.objects)
    opening = faulty(laboratory.store)
    laboratory.domain(opening)
    for fail_at in range(opening.calls + 1, 1000):
        laboratory.store.objects = dict(before)
        store = faulty(laboratory.store, fail_at=fail_at, after_effect=after_effect)
        try:
            done = fold(laboratory.domain(store))
        except StoreUnavailableError:
            done = None
        assert before.items() <= laboratory.store.objects.items()
        assert index_of(laboratory).locate(everything).keys() == everything
        if store.calls < fail_at:
            break
    assert done is not None
    for name in done.replaced:
        laboratory.store.delete(name)
    assert index_of(laboratory).locate(everything).keys() == everything


def test_a_fold_gives_each_chunk_one_place(laboratory: Laboratory) -> None:
    """Writers at the same time packed the same chunks: one pack keeps all of them, the others' are dead as a whole."""
    shared = some_ids(20)
    packs = [pack_of([*shared, *some_ids(1)]) for _ in range(3)]
    for pack in packs:
        written(laboratory, pack)
    done = fold(laboratory.domain(), everything=True)
    assert done is not None
    for name in done.replaced:
        laboratory.store.delete(name)
    index = index_of(laboratory)
    assert len({place.pack.id for place in index.locate(shared).values()}) == 1
    assert index.locate([pack.chunks[-1].id for pack in packs]).keys() == {pack.chunks[-1].id for pack in packs}


def test_a_fold_keeps_the_place_that_is_locked_for_longest(laboratory: Laboratory) -> None:
    """A point that uploaded a chunk again for its lock keeps that lock."""
    shared = some_ids(4)
    packs = [pack_of(shared, lock_until) for lock_until in (100, 300, 200)]
    for pack in packs:
        written(laboratory, pack)
    done = fold(laboratory.domain(), everything=True)
    assert done is not None
    for name in done.replaced:
        laboratory.store.delete(name)
    assert {place.pack.id for place in index_of(laboratory).locate(shared).values()} == {packs[1].id}


def test_a_fold_names_no_pack_that_is_gone(laboratory: Laboratory) -> None:
    """Also where only one segment names it: that is replaced, and nothing else is touched."""
    old, kept = pack_of(some_ids(5)), pack_of(some_ids(5))
    written(laboratory, old, kept)
    (naming,) = laboratory.objects("index/")
    written(laboratory, pack_of(some_ids(5)))
    done = fold(laboratory.domain(), gone=[old.id])
    assert done is not None
    assert done.replaced == [naming]
    laboratory.store.delete(naming)
    index = index_of(laboratory)
    assert index.locate([chunk.id for chunk in old.chunks]) == {}
    assert len(index.locate([chunk.id for chunk in kept.chunks])) == 5


def test_there_is_nothing_to_fold_in_few_segments(laboratory: Laboratory) -> None:
    """Maintenance that runs daily does not write the index anew each time."""
    for _ in range(4):
        written(laboratory, pack_of(some_ids(5)))
    assert fold(laboratory.domain()) is None
    written(laboratory, pack_of(some_ids(5)))
    done = fold(laboratory.domain())
    assert done is not None
    assert len(done.replaced) > 1
    assert fold(laboratory.domain(), condemned=done.replaced) is None


def test_a_point_survives_the_end_of_the_segments_that_it_names(laboratory: Laboratory) -> None:
    """They were folded and deleted: its chunks are found in the fold, and its successor names the old ones no more."""
    content = secrets.token_bytes(20 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    laboratory.back_up(laboratory.disk(secrets.token_bytes(CHUNK), "other"), vm="other")
    done = fold(laboratory.domain(), everything=True)
    assert done is not None
    for name in done.replaced:
        laboratory.store.delete(name)
    assert laboratory.restored(manifest) == content
    following = laboratory.back_up(laboratory.disk(content[:-CHUNK] + secrets.token_bytes(CHUNK)))
    assert manifest.segments
    assert not manifest.segments.keys() & following.segments.keys()
    assert following.volumes[0].statistics.bytes_changed == CHUNK
