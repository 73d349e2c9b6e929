"""Disks and maps pulled from KubeVirt's export server: what is read, and what of its answers is not believed."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine.changed_blocks.exports import (
    SIZE_BYTES,
    Map,
    Reply,
    ToldServer,
    content,
    exported,
    page,
    qemu_disk,
    told,
)

from safehold.engine.changed_blocks.collecting import collect
from safehold.engine.changed_blocks.kubevirt import PulledChanges, PulledDisk
from safehold.engine.changed_blocks.kubevirt_connection import PullEndpoint
from safehold.engine.changed_blocks.kubevirt_map import PullMap
from safehold.engine.disks.volumes import Extent
from safehold.errors import ChangedBlocksError, VolumeError
from sandbox.certificates import serving_files
from sandbox.guest.machine import qemu_installed

KIB = 1 << 10
HALF = SIZE_BYTES // 2
SHORT_SECONDS = 0.3
needs_qemu = pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root")


def source(endpoint: PullEndpoint, base: str | None = None) -> PulledChanges:
    """A source that gives up soon."""
    return PulledChanges(endpoint, base, patience_seconds=SHORT_SECONDS)


@contextmanager
def opened(server: ToldServer, folder: Path, base: str | None = None) -> Iterator[PullMap]:
    """The map of a server that answers as it is told."""
    with told(server, folder) as endpoint, source(endpoint, base).open(SIZE_BYTES) as answers:
        yield answers


@contextmanager
def disk_of(server: ToldServer, folder: Path) -> Iterator[PulledDisk]:
    """The disk of a server that answers as it is told."""
    with told(server, folder) as endpoint, source(endpoint).disk() as disk:
        yield disk


def read(disk: PulledDisk, offset: int, length: int) -> bytes:
    """A range, in two buffers."""
    buffers = [bytearray(length // 2), bytearray(length - length // 2)]
    disk.read_into([memoryview(buffer) for buffer in buffers], offset)
    return b"".join(buffers)


@needs_qemu
def test_full_backup_tells_what_is_allocated(tmp_path: Path) -> None:
    """Of a real QEMU disk: its size, its data, zeros where nothing was written, and nothing about changes."""
    image = qemu_disk(tmp_path, (64 * KIB, 128 * KIB), (HALF, 4 * KIB))
    with (
        exported(image, incremental=False) as endpoint,
        source(endpoint).disk() as disk,
        source(endpoint).open(SIZE_BYTES) as answers,
    ):
        assert disk.size_bytes == SIZE_BYTES
        assert [*answers.allocated()] == [Extent(64 * KIB, 128 * KIB), Extent(HALF, 4 * KIB)]
        found = read(disk, 0, SIZE_BYTES)
        assert found.strip(b"\0").count(b"A") == found.count(b"A") == 132 * KIB
        assert found[64 * KIB : 192 * KIB] == b"A" * 128 * KIB
        with pytest.raises(ChangedBlocksError, match="does not say what changed"):
            next(iter(answers.changed()))


@needs_qemu
def test_incremental_backup_tells_what_changed(tmp_path: Path) -> None:
    """Of a real QEMU bitmap: what was written since, and what is allocated, for whom the base is none to build on."""
    image = qemu_disk(tmp_path, (64 * KIB, 128 * KIB), since=((HALF, 128 * KIB), (SIZE_BYTES - 64 * KIB, KIB)))
    with exported(image, incremental=True) as endpoint, source(endpoint, "base").open(SIZE_BYTES) as answers:
        touched = collect(answers.changed(), size_bytes=SIZE_BYTES, chunk_bytes=64 * KIB, stop=threading.Event())
        assert [*touched.extents()] == [Extent(HALF, 128 * KIB), Extent(SIZE_BYTES - 64 * KIB, 64 * KIB)]
        assert Extent(64 * KIB, 128 * KIB) in [*answers.allocated()]


def test_map_is_read_page_by_page(tmp_path: Path) -> None:
    """Pages follow one another where the one before says so, and the bits of a type say what is zero."""
    pages = {
        0: page((0, KIB, 0), (KIB, KIB, 1), following=2 * KIB),
        2 * KIB: page((2 * KIB, KIB, 2), (3 * KIB, KIB, 3), following=4 * KIB),
        4 * KIB: page((4 * KIB, SIZE_BYTES - 4 * KIB, 0)),
    }
    with opened(ToldServer(map=pages.__getitem__), tmp_path) as answers:
        assert [*answers.allocated()] == [
            Extent(0, KIB),
            Extent(KIB, KIB),
            Extent(4 * KIB, SIZE_BYTES - 4 * KIB),
        ]


def test_discarded_range_of_a_delta_has_changed(tmp_path: Path) -> None:
    """`dirty` and `dirty,zero` are changes, `clean` and `zero` are none."""
    extents = [(number * KIB, KIB, number) for number in range(4)]
    server = ToldServer(map=lambda _: page(*extents, (4 * KIB, SIZE_BYTES - 4 * KIB, 0)))
    with opened(server, tmp_path, base="base") as answers:
        assert [*answers.changed()] == [Extent(KIB, KIB), Extent(3 * KIB, KIB)]


BAD_MAPS: dict[str, Map] = {
    "truncated": lambda _: page((0, HALF, 0)),
    "longer than the disk": lambda _: page((0, SIZE_BYTES + KIB, 0)),
    "overlapping": lambda _: page((0, HALF, 0), (KIB, SIZE_BYTES - KIB, 0)),
    "unordered": lambda _: page((HALF, HALF, 0), (0, HALF, 0)),
    "with a gap": lambda _: page((0, KIB, 0), (2 * KIB, SIZE_BYTES - 2 * KIB, 0)),
    "with an empty extent": lambda _: page((0, 0, 0), (0, SIZE_BYTES, 0)),
    "of an unknown type": lambda _: page((0, SIZE_BYTES, 4)),
    "of an incremental backup": lambda _: page((0, SIZE_BYTES, 0), words="clean"),
    "empty": lambda _: page(),
    "whose pages go in a circle": lambda _: page((0, KIB, 0), following=0),
    "whose page leaves something out": lambda _: page((0, KIB, 0), following=2 * KIB),
    "that promises more and has nothing": lambda offset: page(following=offset),
    "that is no JSON": lambda _: Reply(b"<html>"),
    "that is cut": lambda _: Reply(b'{"extents":', cut=True),
    "that does not come": lambda _: Reply(status=503),
    "of a disk that is not served": lambda _: Reply(status=404),
    "that fails": lambda _: Reply(status=500),
}


@pytest.mark.parametrize("bad", BAD_MAPS.values(), ids=BAD_MAPS)
def test_bad_map_is_not_believed(tmp_path: Path, bad: Map) -> None:
    """Whatever is wrong with a map, it is a ChangedBlocksError before anything of it is used."""
    with opened(ToldServer(map=bad), tmp_path) as answers, pytest.raises(ChangedBlocksError):
        [*answers.allocated()]


def test_disk_is_measured_where_its_map_is_bad(tmp_path: Path) -> None:
    """The size is where the server says, in whole answers, that no byte follows; then everything can be read."""
    with disk_of(ToldServer(map=lambda _: Reply(status=500)), tmp_path) as disk:
        assert disk.size_bytes == SIZE_BYTES
        assert [*disk.data_extents()] == [Extent(0, SIZE_BYTES)]
        assert read(disk, HALF - 7, 64 * KIB) == content(HALF - 7, 64 * KIB).body


def test_disk_that_cannot_be_measured_is_not_read(tmp_path: Path) -> None:
    """An error behind the end is no end: better no point than one of a shorter disk."""

    def failing_behind_the_end(offset: int, length: int) -> Reply:
        return content(offset, length) if offset < SIZE_BYTES else Reply(status=500)

    server = ToldServer(map=lambda _: Reply(status=500), data=failing_behind_the_end)
    with pytest.raises(VolumeError, match="500"), disk_of(server, tmp_path):
        pass


def test_lost_connection_is_made_again_for_the_rest(tmp_path: Path) -> None:
    """Cut connections and a server that is not there for a moment cost time only: what has come is kept."""
    numbers = itertools.count()

    def unsteady(offset: int, length: int) -> Reply:
        match next(numbers) if offset >= HALF and length > 2 else None:
            case 0:
                return Reply(status=503)
            case 1:
                return Reply(content(offset, 129 * KIB).body, cut=True)
            case _:
                return content(offset, length)

    server = ToldServer(data=unsteady)
    with told(server, tmp_path) as endpoint, PulledChanges(endpoint, None).disk() as disk:
        buffer = bytearray(256 * KIB)
        disk.read_into([memoryview(buffer)], HALF)
        assert bytes(buffer) == content(HALF, 256 * KIB).body
    assert [path.partition("?")[2] for path in server.requests[-3:]] == [
        f"offset={HALF}&length={256 * KIB}",
        f"offset={HALF}&length={256 * KIB}",
        f"offset={HALF + 128 * KIB}&length={128 * KIB}",
    ]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda offset, length: content(offset, length - 1), "ended while it was read"),
        (lambda offset, length: content(offset, length + 1), "more than was asked"),
        (lambda *_: Reply(status=403), "forbids"),
        (lambda *_: Reply(b"x", cut=True), "connection failed"),
    ],
)
def test_bad_data_is_not_kept(tmp_path: Path, reply: object, said: str) -> None:
    """Bytes that are fewer or more than asked, refused, or always cut, are a VolumeError."""
    server = ToldServer(data=reply)  # type: ignore[arg-type]  # the table's lambdas have no types
    with pytest.raises(VolumeError, match=said), disk_of(server, tmp_path) as disk:
        read(disk, 0, 4 * KIB)


def test_wrong_certificate_is_refused_at_once(tmp_path: Path) -> None:
    """A server whose certificate the backup's CA has not signed gets no token."""
    server = ToldServer()
    stranger = serving_files(tmp_path / "stranger", "stranger").authority
    with told(server, tmp_path) as endpoint:
        mistaken = replace(endpoint, ca=stranger)
        with (
            PulledChanges(mistaken, None).open(SIZE_BYTES) as answers,
            pytest.raises(ChangedBlocksError, match="certificate is wrong"),
        ):
            [*answers.allocated()]
    assert server.requests == []


def test_expired_token_is_named(tmp_path: Path) -> None:
    """401 is not tried again, and the token is in no message."""
    with told(ToldServer(token="another"), tmp_path) as endpoint:
        with (
            PulledChanges(endpoint, None).open(SIZE_BYTES) as answers,
            pytest.raises(ChangedBlocksError, match="does not accept the token") as caught,
        ):
            [*answers.allocated()]
        assert endpoint.token not in f"{caught.value}{endpoint!r}"
