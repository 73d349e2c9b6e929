"""Large segments: neighbours of a chunk that was found are answered by its pack."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from safehold.engine.index.folding import fold
from safehold.engine.index.lookup import Index
from safehold.engine.keys.sealing import HEADER_BYTES
from safehold.engine.packing.contents import read_contents

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

    from safehold.engine.index.segments import Location

CHUNK = 512
LOOKUP = "safehold.engine.index.lookup.LARGE_ENTRIES"
READING = "safehold.engine.index.segment_reading"


@pytest.fixture
def roomy(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """A laboratory whose packs hold many chunks, and whose every segment counts as large and is read by blocks."""
    laboratory.geometry = replace(laboratory.geometry, pack_bytes=128 * CHUNK, part_bytes=16 * CHUNK)
    monkeypatch.setattr(LOOKUP, 0)
    monkeypatch.setattr(f"{READING}._FIRST_READ_BYTES", 512)
    monkeypatch.setattr(f"{READING}._BLOCKS_READ_BYTES", 0)
    return laboratory


def fold_all(laboratory: Laboratory) -> None:
    """Maintenance at its end: one fold, and nothing else."""
    done = fold(laboratory.domain(), everything=True)
    assert done is not None
    for name in done.replaced:
        laboratory.store.delete(name)


def ids_by_pack(laboratory: Laboratory) -> list[list[bytes]]:
    """What each pack holds."""
    keys = laboratory.domain().keys
    packs = {bytes.fromhex(name.rpartition("/")[2]): name for name in laboratory.objects("packs/")}
    tables = [read_contents(laboratory.store, keys, i, len(laboratory.store.objects[n])) for i, n in packs.items()]
    return [[chunk.id for chunk in table.chunks] for table in tables]


def ids_in_packs(laboratory: Laboratory) -> list[bytes]:
    """What any pack holds."""
    return sorted({chunk_id for chunk_ids in ids_by_pack(laboratory) for chunk_id in chunk_ids})


def plain_places(
    laboratory: Laboratory, chunk_ids: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[bytes, Location]:
    """Where the segments themselves list the ids."""
    with monkeypatch.context() as patched:
        patched.setattr(LOOKUP, 1 << 40)
        return laboratory.domain().index.locate(chunk_ids)


def test_few_blocks_are_read_of_a_large_segment(roomy: Laboratory, faulty: type[FaultyStore]) -> None:
    """A restore asks the index once or twice per pack, not once per chunk, and restores the same."""
    content = secrets.token_bytes(500 * CHUNK)
    manifest = roomy.back_up(roomy.disk(content))
    roomy.back_up(roomy.disk(secrets.token_bytes(300 * CHUNK), "other"), vm="other")
    fold_all(roomy)
    chunk_ids = ids_in_packs(roomy)
    store = faulty(roomy.store)
    index = roomy.domain(store).index
    store.reads.clear()
    assert index.locate(chunk_ids).keys() == set(chunk_ids)
    packs = len(roomy.objects("packs/"))
    assert len(store.reads) < 10 * packs < len(chunk_ids) // 4
    assert roomy.restored(manifest) == content


def test_places_are_those_of_the_segment(roomy: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that the segment lists at another pack is reused and kept there, whatever its neighbours' table says."""
    shared = secrets.token_bytes(60 * CHUNK)
    roomy.back_up(roomy.disk(shared + secrets.token_bytes(5 * CHUNK)))
    hidden = {name: roomy.store.objects.pop(name) for name in roomy.objects("index/")}
    roomy.back_up(roomy.disk(secrets.token_bytes(5 * CHUNK) + shared, "other"), vm="other")
    roomy.store.objects |= hidden
    fold_all(roomy)
    chunk_ids = ids_in_packs(roomy)
    expected = plain_places(roomy, chunk_ids, monkeypatch)
    index = roomy.domain().index
    assert index.locate(chunk_ids) == expected
    asked: Index = roomy.domain().index
    for at in range(0, len(chunk_ids), 8):
        asked.known(chunk_ids[at : at + 8])
    assert {pack.id for pack in asked.reused_packs} == {place.pack.id for place in expected.values()}


@pytest.mark.parametrize("damage", ["gone", "flip"])
def test_a_table_that_cannot_be_read_costs_only_time(
    roomy: Laboratory, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """The segment tells the same."""
    roomy.back_up(roomy.disk(secrets.token_bytes(100 * CHUNK)))
    chunk_ids = ids_in_packs(roomy)
    expected = plain_places(roomy, chunk_ids, monkeypatch)
    for name in roomy.objects("packs/"):
        whole = roomy.store.objects.pop(name)
        if damage == "flip":
            roomy.store.objects[name] = whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:]
    assert len(whole) > HEADER_BYTES
    assert roomy.domain().index.locate(chunk_ids) == expected


def test_tables_that_tell_nothing_are_given_up(
    roomy: Laboratory, faulty: type[FaultyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where chunks are asked that were never neighbours, no more than a bounded number of tables is read."""
    monkeypatch.setattr("safehold.engine.index.vicinity._CREDIT", 4)
    for number in range(3):
        roomy.back_up(roomy.disk(secrets.token_bytes(900 * CHUNK)), vm=f"vm-{number}")
    fold_all(roomy)
    strangers = [chunk_ids[0] for chunk_ids in ids_by_pack(roomy)]
    store = faulty(roomy.store)
    index = roomy.domain(store).index
    assert len(index.locate(strangers)) == len(strangers) > 20
    assert sum(name.startswith("packs/") for name in store.reads) <= 8
