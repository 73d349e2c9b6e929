"""Packs as they are written."""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING

import pytest

from safehold.engine.packs import FinishedPack, PackWriter, UploadLanes
from safehold.engine.sealing import HEADER_BYTES, ObjectType
from safehold.errors import StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512


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
