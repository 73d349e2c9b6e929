"""The client of SnapshotMetadata, against a service over TLS that errs in every way it can."""

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.engine.metadata_service import DISK, MIB, Fails, Line, Service, message, serving

from safehold.engine.changed_blocks.collecting import collect
from safehold.engine.changed_blocks.csi import CsiSource
from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from safehold.errors import ChangedBlocksError
from sandbox.certificates import serving_files

Code = grpc.StatusCode
CHUNK = 128 * 1024


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safehold.engine.changed_blocks.csi_stream._FIRST_PAUSE_SECONDS", 0.001)


def changed(source: CsiSource, question: str = "changed") -> list[tuple[int, int]]:
    """What the engine makes of the answer: runs of whole chunks."""
    with source.open(DISK) as blocks:
        extents = blocks.changed() if question == "changed" else blocks.allocated()
        touched = collect(extents, size_bytes=DISK, chunk_bytes=CHUNK, stop=threading.Event())
    return [(extent.offset, extent.length) for extent in touched.extents()]


def test_both_questions_name_the_snapshot_and_carry_the_token(tmp_path: Path) -> None:
    """A delta names base and target, the allocated blocks the target; both carry the token of the projected file."""
    service = Service([[[(0, MIB)], [], [(3 * MIB, CHUNK)]]])
    with serving(service, tmp_path) as source:
        assert changed(source) == [(0, MIB), (3 * MIB, CHUNK)]
        assert changed(source, "allocated") == [(0, MIB), (3 * MIB, CHUNK)]
    delta, allocated = service.requests
    assert (delta.base_snapshot_id, delta.target_snapshot_name, delta.namespace) == ("physical-1", "pair", "safehold")
    assert (allocated.snapshot_name, allocated.namespace) == ("pair", "safehold")
    assert {delta.security_token, allocated.security_token} == {"first"}


def test_nothing_changed_is_an_answer(tmp_path: Path) -> None:
    """A stream that ends cleanly without a message says that nothing changed."""
    with serving(Service([[]]), tmp_path) as source:
        assert changed(source) == []


def test_a_cut_stream_is_resumed_from_the_last_range(tmp_path: Path) -> None:
    """Each new stream asks from the end of the last range; a first range that begins before it is clipped."""
    streams: list[list[Line]] = [
        [[(0, MIB), (2 * MIB, MIB)], Fails(Code.DEADLINE_EXCEEDED)],
        [[(2 * MIB, 2 * MIB)], Fails(Code.UNAVAILABLE, "connection reset")],
        [[(10 * MIB, CHUNK)]],
    ]
    service = Service(streams)
    with serving(service, tmp_path) as source:
        assert changed(source) == [(0, MIB), (2 * MIB, 2 * MIB), (10 * MIB, CHUNK)]
    assert [request.starting_offset for request in service.requests] == [0, 3 * MIB, 4 * MIB]


def test_a_stream_that_is_cut_behind_the_last_byte_is_complete(tmp_path: Path) -> None:
    """Nothing can follow the disk's end, and an offset there would be refused."""
    service = Service([[[(DISK - MIB, MIB)], Fails(Code.UNAVAILABLE)]])
    with serving(service, tmp_path) as source:
        assert changed(source) == [(DISK - MIB, MIB)]
    assert len(service.requests) == 1


def test_an_expired_token_is_read_again_once(tmp_path: Path) -> None:
    """The kubelet may have replaced the token: the second stream has what the file holds then."""
    service = Service([[Fails(Code.UNAUTHENTICATED)], [[(0, MIB)]]])
    service.on_request = lambda: (tmp_path / "token").write_text("second")
    with serving(service, tmp_path) as source:
        assert changed(source) == [(0, MIB)]
    assert [request.security_token for request in service.requests] == ["first", "second"]


REFUSALS: list[tuple[list[list[Line]], str, int]] = [
    ([[Fails(Code.UNAUTHENTICATED, "unauthenticated user")]], "UNAUTHENTICATED unauthenticated user", 2),
    ([[Fails(Code.PERMISSION_DENIED)]], "PERMISSION_DENIED", 1),
    ([[Fails(Code.INVALID_ARGUMENT, "snapshots don't belong to the same Volume")]], "the same Volume", 1),
    ([[Fails(Code.NOT_FOUND, "cannot find the source snapshot")]], "NOT_FOUND", 1),
    ([[Fails(Code.FAILED_PRECONDITION)]], "FAILED_PRECONDITION", 1),
    ([[Fails(Code.UNIMPLEMENTED)]], "UNIMPLEMENTED", 1),
    ([[Fails(Code.UNAVAILABLE, "failed to get VolumeSnapshot")]], "UNAVAILABLE", 5),
    ([[[(0, MIB)], Fails(Code.INTERNAL)], [Fails(Code.INTERNAL)]], f"ended at byte {MIB}", 5),
    ([[message([(0, MIB)], capacity=2 * DISK)]], "of another size", 1),
    ([[[(0, MIB)], message([(MIB, MIB)], capacity=DISK // 2)]], "of another size", 1),
    ([[message([(0, MIB)], block_type=schema.UNKNOWN)]], "kind of blocks", 1),
    ([[[(0, MIB)], message([(MIB, MIB)], block_type=schema.FIXED_LENGTH)]], "kind of blocks", 1),
    ([[[(0, MIB), (MIB // 2, MIB)]]], "overlap", 1),
    ([[[(2 * MIB, MIB)], [(0, MIB)]]], "out of order", 1),
    ([[[(MIB, 0)]]], "empty range", 1),
    ([[[(DISK - MIB, 2 * MIB)]]], "past the disk's end", 1),
    ([[[(2 * MIB, MIB)], Fails(Code.UNAVAILABLE)], [[(0, MIB)]]], "out of order", 2),
]


@pytest.mark.parametrize(("streams", "said", "tries"), REFUSALS, ids=[said for _, said, _ in REFUSALS])
def test_an_answer_that_proves_nothing_is_refused(
    tmp_path: Path, streams: list[list[Line]], said: str, tries: int
) -> None:
    """Every broken promise and every final status is an error with its words, after so many streams and no more."""
    service = Service(streams)
    with serving(service, tmp_path) as source, pytest.raises(ChangedBlocksError, match=said):
        changed(source)
    assert len(service.requests) == tries


def _other_authority(folder: Path) -> dict[str, Any]:
    return {"authority": serving_files(folder / "other", "other").authority}


def _no_authority(_: Path) -> dict[str, Any]:
    return {"authority": ""}


def _no_token(folder: Path) -> dict[str, Any]:
    return {"token_file": folder / "nothing"}


@pytest.mark.parametrize(
    ("broken", "said"),
    [(_other_authority, "not the one"), (_no_authority, "no certificate authority"), (_no_token, "token")],
)
def test_nobody_gets_the_token_whom_the_object_does_not_vouch_for(tmp_path: Path, broken: Any, said: str) -> None:
    """Another authority's server, an object without authority, a missing token: no request is sent."""
    service = Service([[[(0, MIB)]]])
    changes = broken(tmp_path)
    with serving(service, tmp_path, **changes) as source, pytest.raises(ChangedBlocksError, match=said):
        changed(source)
    assert service.requests == []


def test_a_service_that_hangs_is_left(tmp_path: Path) -> None:
    """A stream without an end is cut by the client's own deadline, and counted as a failure."""
    held = threading.Event()
    service = Service([[[(0, MIB)]]])
    service.on_request = lambda: held.wait(20)
    with serving(service, tmp_path, stream_seconds=0.2) as source:
        try:
            with pytest.raises(ChangedBlocksError, match="DEADLINE_EXCEEDED"):
                changed(source)
        finally:
            held.set()
