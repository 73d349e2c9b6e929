"""A disk of a point that is read anywhere: right bytes, few requests, and no wrong data from a damaged chunk."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.access.disk import PointDisk
from safehold.engine.access.read_ahead import ReadAhead
from safehold.engine.geometry import KIB, MIB
from safehold.engine.keys.sealing import HEADER_BYTES
from safehold.engine.points.manifest import Manifest
from safehold.errors import IntegrityError, PointError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]
pieces = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(1, 30)), min_size=1, max_size=6)


def content_of(plan: list[tuple[int, int]], tail: int) -> bytes:
    """A disk of runs of chunks, some of zeros, and an end that is no whole chunk."""
    chunks = [bytes([value, number % 7]) * (CHUNK // 2) for value, count in plan for number in range(count)]
    return b"".join(chunk if chunk[0] else bytes(CHUNK) for chunk in chunks) + b"e" * tail


def opened(laboratory: Laboratory, manifest: Manifest, store: FaultyStore | None = None) -> PointDisk:
    """The disk `root` of a point, with room for four chunks only."""
    return PointDisk(laboratory.domain(store, create=False), manifest, "root", cache_bytes=4 * CHUNK)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces, st.integers(0, CHUNK - 1), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_reads_are_what_the_disk_held(
    laboratory: Laboratory, plan: list[tuple[int, int]], tail: int, places: list[tuple[float, float]]
) -> None:
    """Wherever a read begins and ends, also in the middle of chunks, over holes and at the end."""
    content = content_of(plan, tail)
    laboratory.back_up(laboratory.disk(content[::-1]))
    manifest = laboratory.back_up(laboratory.disk(content))
    with opened(laboratory, manifest) as disk:
        assert disk.size_bytes == len(content)
        assert disk.read(0, len(content)) == content
        for first, second in places:
            low, high = sorted((int(first * len(content)), int(second * len(content))))
            assert disk.read(low, high - low) == content[low:high]


def test_many_threads_read_at_once(laboratory: Laboratory, noise: Noise) -> None:
    """Threads that read all over a disk, which is larger than the cache, get what it held."""
    content = noise(200 * CHUNK + 77)
    manifest = laboratory.back_up(laboratory.disk(content))
    generator = random.Random(3)  # noqa: S311 - places, the same in every run
    places = [
        (at, min(len(content), at + generator.randrange(5 * CHUNK))) for at in generator.sample(range(10**5), 400)
    ]
    with opened(laboratory, manifest) as disk, ThreadPoolExecutor(12) as threads:
        found = threads.map(lambda place: disk.read(place[0], place[1] - place[0]), places)
        assert list(found) == [content[low:high] for low, high in places]


def test_what_is_held_is_not_fetched_again(laboratory: Laboratory, noise: Noise, faulty: type[FaultyStore]) -> None:
    """A chunk, its neighbours in the frame and the way to them cost a few requests, and later none."""
    content = noise(400 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    store = faulty(laboratory.store)
    with opened(laboratory, manifest, store) as disk:
        before = store.calls
        assert disk.read(200 * CHUNK, 10) == content[200 * CHUNK : 200 * CHUNK + 10]
        fetched = store.calls
        assert fetched - before < 20
        # One chunk of the four that a frame holds.
        packs = [name for name in store.reads if name.startswith("packs/")]
        assert len(packs) <= 6
        assert store.bytes_read < 100 * CHUNK
        for at in (200 * CHUNK, 200 * CHUNK + 500):
            disk.read(at, 5)
        assert store.calls == fetched


def test_reading_on_fetches_ahead(laboratory: Laboratory, noise: Noise, faulty: type[FaultyStore]) -> None:
    """A disk that is read from end to end costs far fewer requests than reads, and each pack's bytes once."""
    laboratory.geometry = type(laboratory.geometry)(
        chunk_bytes=16 * KIB,
        frame_bytes=64 * KIB,
        pack_bytes=MIB,
        part_bytes=256 * KIB,
        segment_entries=4096,
        block_entries=16,
    )
    content = noise(6 * MIB)
    manifest = laboratory.back_up(laboratory.disk(content))
    store = faulty(laboratory.store)
    with PointDisk(laboratory.domain(store, create=False), manifest, "root") as disk:
        read = b"".join(disk.read(at, 8 * KIB) for at in range(0, len(content), 8 * KIB))
    assert read == content
    assert store.calls < 150
    assert store.bytes_read < 1.3 * len(content)


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        pytest.param([(0, 4 * MIB)], None, id="one read says nothing of the next"),
        pytest.param([(0, 100 * KIB), (100 * KIB, 200 * KIB)], None, id="a small file is read without more"),
        pytest.param([(0, MIB), (MIB, 2 * MIB)], (2 * MIB, 4 * MIB), id="as much ahead as was read in a row"),
        pytest.param([(0, MIB), (MIB, 2 * MIB), (2 * MIB, 2 * MIB + KIB)], None, id="most of it is still ahead"),
        pytest.param([(0, MIB), (9 * MIB, 10 * MIB), (MIB, 2 * MIB)], (2 * MIB, 4 * MIB), id="two files side by side"),
        pytest.param([(0, 32 * MIB), (32 * MIB, 33 * MIB)], (33 * MIB, 41 * MIB), id="within a bound"),
    ],
)
def test_what_is_fetched_ahead(reads: list[tuple[int, int]], expected: tuple[int, int] | None) -> None:
    """What the last of these reads leads to."""
    sequences = ReadAhead()
    assert [sequences.after(*read) for read in reads][-1] == expected


def test_a_damaged_chunk_is_named(laboratory: Laboratory, noise: Noise) -> None:
    """A flipped bit hits the chunks of its frame: their reads fail and say which, all others are right."""
    content = noise(64 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    name = next(each for each in sorted(laboratory.store.objects) if each.startswith("packs/"))
    whole = laboratory.store.objects[name]
    at = HEADER_BYTES + 40
    laboratory.store.objects[name] = whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
    hit: dict[int, str] = {}
    with opened(laboratory, manifest) as disk:
        for slot in range(64):
            try:
                assert disk.read(slot * CHUNK, CHUNK) == content[slot * CHUNK : (slot + 1) * CHUNK]
            except IntegrityError as problem:
                hit[slot] = str(problem)
        assert 1 <= len(hit) <= 4
        for slot, sentence in hit.items():
            assert f"Chunk {slot} of the volume root, {CHUNK} bytes at {slot * CHUNK}," in sentence
            assert name in sentence
        # Nothing of a failure is kept.
        laboratory.store.objects[name] = whole
        assert disk.read(0, len(content)) == content


def test_a_store_that_was_away_is_asked_again(laboratory: Laboratory, noise: Noise, faulty: type[FaultyStore]) -> None:
    """A read fails while the store does not answer, whatever it needed of it, and the next one succeeds."""
    content = noise(40 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    for calls in range(1, 12):
        store = faulty(laboratory.store)
        with opened(laboratory, manifest, store) as disk:
            store._fail_at = store.calls + calls
            with suppress(StoreUnavailableError):
                disk.read(0, len(content))
            for under_way in [*disk._chunks._held.values()]:
                under_way.exception()
            store._fail_at = None
            assert disk.read(0, len(content)) == content


def test_reads_outside_of_the_disk_are_refused(laboratory: Laboratory) -> None:
    """There is nothing before the beginning and behind the end; a volume that the point lacks is told."""
    manifest = laboratory.back_up(laboratory.disk(b"x" * 700))
    with opened(laboratory, manifest) as disk:
        assert disk.read(700, 0) == b""
        for offset, length in ((-1, 1), (0, 701), (700, 1), (5, -1)):
            with pytest.raises(ValueError, match="are not within 700"):
                disk.read(offset, length)
    with pytest.raises(PointError, match="has no volume other"):
        PointDisk(laboratory.domain(create=False), manifest, "other")
