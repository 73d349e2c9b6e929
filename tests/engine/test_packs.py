"""Packs as they are written: frames, tables of contents, and what a run leaves."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine import names
from safehold.engine.backup.lanes import MOST_LANES, LaneCount, UploadLanes
from safehold.engine.keys.sealing import HEADER_BYTES, ObjectType, object_cipher
from safehold.engine.packing.chunks import compress, decompress
from safehold.engine.packing.contents import FinishedPack, read_contents
from safehold.engine.packing.frames import Frame, FrameKind, chunks_of, open_frame
from safehold.engine.packing.packs import PackWriter, RunPacks
from safehold.engine.packing.parts import PartSupply
from safehold.errors import IntegrityError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512


def frame_of(number: int, content: bytes, kind: FrameKind = FrameKind.CHUNKS) -> Frame:
    """A frame of one chunk."""
    return Frame.of(kind, [(number.to_bytes(32), len(content))], content)


def written(laboratory: Laboratory, frames: list[Frame]) -> list[FinishedPack]:
    """The packs that these frames become."""
    with UploadLanes() as lanes:
        writer = PackWriter(laboratory.store, "target", laboratory.domain().keys.current, lanes, laboratory.geometry)
        for frame in frames:
            assert writer.append(frame) == len(frame.plain) + 16
        writer.close_pack()
        return writer.uploaded(wait=True)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=12))
def test_a_frame_gives_back_its_chunks(contents: list[bytes]) -> None:
    """Ids and contents come back in their order, whether the body was compressed or not."""
    named = [(secrets.token_bytes(32), len(content)) for content in contents]
    frame = Frame.of(FrameKind.CHUNKS, named, b"".join(contents))
    found = list(chunks_of(frame.plain, "pack"))
    assert [chunk_id for chunk_id, _ in found] == [chunk_id for chunk_id, _ in named]
    assert [bytes(content) for _, content in found] == contents


def test_neighbours_compress_together(laboratory: Laboratory) -> None:
    """What repeats from chunk to chunk is kept once per frame."""
    noise = random.Random(1).randbytes(CHUNK)  # noqa: S311 - the same in every run
    apart = written(laboratory, [frame_of(n, noise) for n in range(4)])
    together = written(
        laboratory, [Frame.of(FrameKind.CHUNKS, [(bytes(31) + bytes([n]), CHUNK) for n in range(4)], noise * 4)]
    )
    assert together[0].length < apart[0].length - 2 * CHUNK


@pytest.mark.parametrize(
    ("content", "as_it_is"),
    [
        (random.Random(2).randbytes(200_000), True),  # noqa: S311 - the same in every run
        (random.Random(3).randbytes(600), True),  # noqa: S311 - the same in every run
        (b"text that repeats, " * 10_000, False),
        (random.Random(4).randbytes(100_000) + bytes(100_000), False),  # noqa: S311 - the same in every run
    ],
)
def test_what_does_not_compress_is_kept_as_it_is(content: bytes, as_it_is: bool) -> None:
    """Then it costs no time to read; half a body that compresses is enough to compress it."""
    body = compress(content)
    assert (body is content) == as_it_is
    unpacked = memoryview(bytearray(len(content)))
    decompress(body, unpacked, "pack")
    assert unpacked == content


@pytest.mark.parametrize("claimed", [999_999, 1_000_001])
def test_a_body_of_another_length_is_damage(claimed: int) -> None:
    """Neither what is missing nor what is too much is made up for."""
    with pytest.raises(IntegrityError, match="another length"):
        decompress(compress(bytes(1_000_000)), memoryview(bytearray(claimed)), "pack")


@pytest.mark.parametrize("seed", range(8))
def test_a_pack_is_sent_in_parts_of_one_size(laboratory: Laboratory, faulty: type[FaultyStore], seed: int) -> None:
    """Frames begin and end anywhere in parts, and are larger than one: each opens in what the store has joined."""
    generator = random.Random(seed)  # noqa: S311 - the same in every run
    geometry, keys = laboratory.geometry, laboratory.domain().keys
    frames = [frame_of(n, generator.randbytes(generator.randrange(1, 3 * geometry.part_bytes))) for n in range(40)]
    store = faulty(laboratory.store)
    with UploadLanes() as lanes:
        writer = PackWriter(store, "target", keys.current, lanes, geometry)
        for frame in frames:
            writer.append(frame)
        writer.close_pack()
        finished = writer.uploaded(wait=True)
    parts: dict[str, list[tuple[int, int]]] = {}
    for name, body in store.bodies:
        sent_as, _, number = name.partition("#")
        parts.setdefault(sent_as, []).append((int(number or 1), len(body)))
    for sent in parts.values():
        *full, last = [length for _, length in sorted(sent)]
        assert set(full) <= {geometry.part_bytes}
        assert 0 < last <= geometry.part_bytes
    rest = iter(frames)
    for pack in finished:
        cipher = object_cipher(keys.current.data_key, ObjectType.PACK, pack.id)
        content = laboratory.store.objects[names.pack("target", pack.id)]
        for chunk in pack.chunks:
            sealed = content[chunk.offset : chunk.offset + chunk.stored_bytes]
            assert open_frame(cipher, chunk.frame, FrameKind.CHUNKS, sealed, "pack") == next(rest).plain
    assert next(rest, None) is None


def test_the_memory_of_parts_that_were_sent_is_used_again() -> None:
    """A pack of any size takes as many parts as are under way, and none shows what was in it before."""
    supply = PartSupply(8)
    first = supply.fresh()
    assert bytes(first.take(memoryview(b"0123456789"))) == b"89"
    body = first.body()
    supply.give_back(first)
    again, other = supply.fresh(), supply.fresh()
    assert (again is first, other is first, again.room) == (True, False, 8)
    assert bytes(again.take(memoryview(b"abc"))) == b""
    assert again.body() is body == b"abc"


@pytest.mark.parametrize(("count", "packs"), [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (40, 5)])
def test_packs_are_closed_at_their_size(laboratory: Laboratory, count: int, packs: int) -> None:
    """Every pack but a run's last is full; nothing is lost between them."""
    finished = written(laboratory, [frame_of(n, secrets.token_bytes(CHUNK)) for n in range(count)])
    assert len(finished) == packs
    assert sum(len(pack.chunks) for pack in finished) == count
    for pack in finished[:-1]:
        assert pack.length >= laboratory.geometry.pack_bytes


def test_a_pack_tells_what_it_holds(laboratory: Laboratory) -> None:
    """The table of contents alone gives what the writer knew: an index segment can be made from it again."""
    frames = [
        Frame.of(
            FrameKind(1 + n % 2),
            [(secrets.token_bytes(32), n), (secrets.token_bytes(32), 2 * n)],
            secrets.token_bytes(3 * n),
        )
        for n in range(1, 60)
    ]
    keys = laboratory.domain().keys
    for pack in written(laboratory, frames):
        name = f"packs/target/{pack.id[:1].hex()}/{pack.id.hex()}"
        assert pack.length == len(laboratory.store.objects[name])
        assert pack.chunks[0].offset == HEADER_BYTES
        assert read_contents(laboratory.store, keys, pack.id, pack.length) == pack


@pytest.mark.parametrize("at", [3, 50, -1, -10, -18, -22, -30, -100])
def test_a_table_of_contents_that_was_changed_does_not_open(laboratory: Laboratory, at: int) -> None:
    """Any bit of header, table or trailer counts; the error names the pack."""
    (pack,) = written(laboratory, [frame_of(n, secrets.token_bytes(100)) for n in range(5)])
    name = f"packs/target/{pack.id[:1].hex()}/{pack.id.hex()}"
    body = bytearray(laboratory.store.objects[name])
    body[at] ^= 1
    laboratory.store.objects[name] = bytes(body)
    with pytest.raises(Exception, match=name):
        read_contents(laboratory.store, laboratory.domain().keys, pack.id, pack.length)


@pytest.mark.parametrize("length", [0, 71, 72, 90, 300])
def test_a_pack_that_was_cut_is_told(laboratory: Laboratory, length: int) -> None:
    """What is left of a torn upload is no pack."""
    (pack,) = written(laboratory, [frame_of(n, secrets.token_bytes(100)) for n in range(5)])
    name = f"packs/target/{pack.id[:1].hex()}/{pack.id.hex()}"
    laboratory.store.objects[name] = laboratory.store.objects[name][:length]
    with pytest.raises(IntegrityError, match=f"{name} is truncated"):
        read_contents(laboratory.store, laboratory.domain().keys, pack.id, length)


@pytest.mark.parametrize(("chunks", "nodes", "packs"), [(0, 0, 0), (3, 0, 1), (0, 3, 1), (3, 3, 1), (3, 90, 4)])
def test_few_chunks_and_nodes_share_a_pack(laboratory: Laboratory, chunks: int, nodes: int, packs: int) -> None:
    """An incremental leaves one pack; a large map gets packs of its own, so that reading it reads little else."""
    with UploadLanes() as lanes:
        writer = RunPacks(laboratory.store, "target", laboratory.domain().keys.current, lanes, laboratory.geometry)
        for number in range(max(chunks, nodes)):
            if number < chunks:
                writer.add_chunks(frame_of(number, secrets.token_bytes(CHUNK)))
            if number < nodes:
                writer.add_node(frame_of(1000 + number, secrets.token_bytes(64), FrameKind.NODES))
        writer.close()
        finished = writer.uploaded(wait=True)
    assert len(finished) == packs
    kinds = [{chunk.kind for chunk in pack.chunks} for pack in finished]
    assert sum(len(pack.chunks) for pack in finished) == chunks + nodes
    assert all(len(kind) == 1 for kind in kinds) or packs == 1


def test_an_upload_that_fails_is_told_when_packs_are_collected(
    laboratory: Laboratory, faulty: type[FaultyStore]
) -> None:
    """A pack whose upload failed is never named to the index."""
    store = faulty(laboratory.store, fail_at=1)
    with UploadLanes() as lanes:
        writer = PackWriter(store, "target", laboratory.domain().keys.current, lanes, laboratory.geometry)
        writer.append(frame_of(1, b"x" * 100))
        writer.close_pack()
        with pytest.raises(StoreUnavailableError):
            writer.uploaded(wait=True)


def lanes_after(rate_of: dict[int, float], rounds: int = 60) -> list[int]:
    """The lanes in use over time, where so many lanes reach such a rate."""
    count, now, seen = LaneCount(), 0.0, []
    for _ in range(rounds):
        for _ in range(2 * count.lanes):
            began = now
            now += 1.0 / rate_of[count.lanes]
            count.sent(1, began, now)
        seen.append(count.lanes)
    return seen


def test_lanes_grow_while_it_pays() -> None:
    """A way that gives each lane its share gets all lanes."""
    assert lanes_after({n: float(n) for n in range(1, MOST_LANES + 1)})[10] == MOST_LANES


def test_lanes_stop_growing_where_it_does_not_pay() -> None:
    """A way that is full with two lanes is mostly used with few, and is tried with more now and then."""
    seen = lanes_after({1: 5.0} | dict.fromkeys(range(2, MOST_LANES + 1), 10.0))
    assert sum(seen) / len(seen) < 3
    assert len(set(seen[10:])) > 1
