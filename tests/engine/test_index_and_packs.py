"""Packs as they are written, and the index that finds chunks in them."""

from __future__ import annotations

import secrets
import struct
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.index import Index
from safehold.engine.packs import FinishedPack, PackedChunk, PackWriter, UploadLanes
from safehold.engine.sealing import HEADER_BYTES, ObjectType
from safehold.errors import IntegrityError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512


def pack_of(ids: list[bytes]) -> FinishedPack:
    """A pack that holds these chunks, as far as the index is told."""
    chunks = [PackedChunk(chunk_id, n, 72 + 100 * n, 100, CHUNK) for n, chunk_id in enumerate(ids)]
    return FinishedPack(secrets.token_bytes(32), secrets.token_bytes(16), 72 + 100 * len(ids), chunks)


def index_of(laboratory: Laboratory) -> Index:
    """The domain's index, opened anew."""
    return laboratory.domain().index


ids = st.binary(min_size=32, max_size=32)
# Ids that share their first bytes meet the fences between blocks.
crowded = st.builds(lambda tail: bytes(8) + tail, st.binary(min_size=24, max_size=24))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.one_of(ids, crowded), min_size=1, max_size=40), max_size=5), st.lists(ids, max_size=5))
def test_the_index_finds_what_was_added_and_nothing_else(
    laboratory: Laboratory, runs: list[list[bytes]], strangers: list[bytes]
) -> None:
    """Over any number of segments, blocks and packs, by whoever opens it later."""
    laboratory.store.objects.clear()
    places: dict[bytes, set[tuple[int, int]]] = defaultdict(set)
    for run in runs:
        index = index_of(laboratory)
        pack = pack_of(sorted(set(run), key=run.index))
        index.add([pack])
        index.flush()
        for chunk in pack.chunks:
            places[chunk.id].add((chunk.frame, chunk.offset))
    found = index_of(laboratory).locate([*places, *strangers])
    assert found.keys() == places.keys()
    for chunk_id, location in found.items():
        assert (location.frame, location.offset) in places[chunk_id]


def test_a_run_sees_its_own_chunks_before_and_after_a_segment_is_written(laboratory: Laboratory) -> None:
    """Claimed chunks are known at once, also across the moment in which their segment is written."""
    index = index_of(laboratory)
    chunk_ids = [secrets.token_bytes(32) for _ in range(10)]
    assert all(index.claim(chunk_id) for chunk_id in chunk_ids)
    assert index.known(chunk_ids) == set(chunk_ids)
    index.add([pack_of(chunk_ids)])
    index.flush()
    assert index.known(chunk_ids) == set(chunk_ids)
    assert not any(index.claim(chunk_id) for chunk_id in chunk_ids)


def test_segments_are_closed_by_entries_and_by_packs(laboratory: Laboratory) -> None:
    """A killed run loses at most one segment's worth."""
    index = index_of(laboratory)
    for _ in range(4):
        index.add([pack_of([secrets.token_bytes(32) for _ in range(33)])])
    assert len(laboratory.objects("index/")) == 2


def test_nothing_is_loaded_while_nothing_new_is_asked(laboratory: Laboratory, faulty: type[FaultyStore]) -> None:
    """A run that finds nothing new never lists the segments."""
    index = index_of(laboratory)
    index.add([pack_of([secrets.token_bytes(32)])])
    index.flush()
    store = faulty(laboratory.store)
    domain = laboratory.domain(store)
    before = store.calls
    assert domain.index.known([]) == set()
    assert store.calls == before


def test_neighbouring_blocks_are_read_with_one_request(laboratory: Laboratory, faulty: type[FaultyStore]) -> None:
    """A restore that wants a whole segment does not ask block by block, and asks once."""
    chunk_ids = [secrets.token_bytes(32) for _ in range(60)]
    index = index_of(laboratory)
    index.add([pack_of(chunk_ids)])
    index.flush()
    store = faulty(laboratory.store)
    domain = laboratory.domain(store)
    before = store.calls
    assert len(domain.index.locate(chunk_ids)) == 60
    assert len(domain.index.locate(chunk_ids)) == 60
    assert store.calls - before == 3  # list, front, blocks


def test_a_missing_chunk_is_named(laboratory: Laboratory) -> None:
    """A segment that is gone is found when a map needs it."""
    manifest = laboratory.back_up(laboratory.disk(secrets.token_bytes(2000)))
    for name in laboratory.objects("index/"):
        del laboratory.store.objects[name]
    with pytest.raises(IntegrityError, match="an index segment is missing"):
        laboratory.restored(manifest)


def written(laboratory: Laboratory, bodies: list[bytes]) -> list[FinishedPack]:
    """The packs that these bodies become."""
    domain = laboratory.domain()
    with UploadLanes() as lanes:
        writer = PackWriter(
            laboratory.store, "target", domain.keys.current, ObjectType.DATA_PACK, lanes, laboratory.geometry
        )
        for number, body in enumerate(bodies):
            assert writer.append(number.to_bytes(32), body, len(body)) == len(body) + 16
        writer.close_pack()
        return writer.uploaded(wait=True)


@pytest.mark.parametrize(("count", "packs"), [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (40, 5)])
def test_packs_are_closed_at_their_size(laboratory: Laboratory, count: int, packs: int) -> None:
    """Every pack but a run's last is full; nothing is lost between them."""
    finished = written(laboratory, [secrets.token_bytes(CHUNK) for _ in range(count)])
    assert len(finished) == packs
    assert sum(len(pack.chunks) for pack in finished) == count
    for pack in finished[:-1]:
        assert pack.length >= laboratory.geometry.pack_bytes


def test_a_pack_says_what_it_is_and_how_long(laboratory: Laboratory) -> None:
    """Header, frames where the index says, trailer with the length; the name is the salt."""
    for pack in written(laboratory, [secrets.token_bytes(100 * n) for n in range(1, 20)]):
        body = laboratory.store.objects[f"packs/target/{pack.id[:1].hex()}/{pack.id.hex()}"]
        assert body[:8] == b"SAFEHOLD"
        assert body[HEADER_BYTES - 32 : HEADER_BYTES] == pack.id
        assert pack.chunks[0].offset == HEADER_BYTES
        assert pack.chunks[-1].offset + pack.chunks[-1].stored_bytes == len(body) - 16
        assert struct.unpack(">Q8s", body[-16:]) == (len(body), b"SAFEHEND")
        assert pack.length == len(body)


def test_an_upload_that_fails_is_told_when_packs_are_collected(
    laboratory: Laboratory, faulty: type[FaultyStore]
) -> None:
    """A pack whose upload failed is never named to the index."""
    store = faulty(laboratory.store, fail_at=1)
    key_set = laboratory.domain().keys.current
    with UploadLanes() as lanes:
        writer = PackWriter(store, "target", key_set, ObjectType.DATA_PACK, lanes, laboratory.geometry)
        writer.append(bytes(32), b"x" * 100, 100)
        writer.close_pack()
        with pytest.raises(StoreUnavailableError):
            writer.uploaded(wait=True)
