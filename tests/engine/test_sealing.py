"""Sealed objects."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine.keys.sealing import (
    HEADER_BYTES,
    Header,
    ObjectType,
    SealedObject,
    new_salt,
    open_single,
    seal_object,
)
from safehold.errors import IntegrityError, UnknownFormatError

DATA_KEY, KEY_SET = secrets.token_bytes(32), secrets.token_bytes(16)
NAME = "points/target/0/1"


def seal(*frames: bytes) -> bytes:
    """An object of these frames."""
    return seal_object(DATA_KEY, KEY_SET, ObjectType.POINT, NAME, list(frames), salt=new_salt())


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_frames_open_to_what_was_sealed_in_any_order(frames: list[bytes]) -> None:
    """Opening is the inverse of sealing, frame by frame."""
    data = seal(*frames)
    header = Header.parse(NAME, data, ObjectType.POINT)
    assert header.length == len(data)
    sealed = SealedObject(NAME, header, DATA_KEY)
    at = len(data)
    for number in range(len(frames) - 1, -1, -1):
        stored = len(frames[number]) + 16
        assert sealed.open_frame(number, data[at - stored : at]) == frames[number]
        at -= stored
    assert at == HEADER_BYTES


@given(st.data())
def test_any_flipped_bit_is_found(data: st.DataObject) -> None:
    """Header, payload and tag: nothing can change unnoticed."""
    sealed = bytearray(seal(b"the payload"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        open_single(NAME, bytes(sealed), DATA_KEY, ObjectType.POINT)


@given(st.integers(0, HEADER_BYTES + 20))
def test_a_truncated_object_is_found_and_named(length: int) -> None:
    """An upload that was cut is no object."""
    with pytest.raises(IntegrityError, match=NAME):
        open_single(NAME, seal(b"the payload")[:length], DATA_KEY, ObjectType.POINT)


def test_an_object_under_another_name_does_not_open() -> None:
    """Nobody can pass one point off as another by renaming it."""
    with pytest.raises(IntegrityError, match="not what its name says"):
        open_single("points/target/0/2", seal(b"x"), DATA_KEY, ObjectType.POINT)


def test_an_object_of_another_type_does_not_open() -> None:
    """The type is checked before anything is opened."""
    with pytest.raises(IntegrityError, match="another type"):
        open_single(NAME, seal(b"x"), DATA_KEY, ObjectType.SEGMENT)


@pytest.mark.parametrize("version", [0, 2])
def test_an_unknown_version_is_refused_and_says_so(version: int) -> None:
    """An earlier or a later format is not damage."""
    data = bytearray(seal(b"x"))
    data[9] = version
    with pytest.raises(UnknownFormatError, match=f"expected 1, found {version}"):
        open_single(NAME, bytes(data), DATA_KEY, ObjectType.POINT)


def test_frames_cannot_change_places() -> None:
    """A frame opens at its own number only."""
    data = seal(b"aaaa", b"bbbb")
    sealed = SealedObject(NAME, Header.parse(NAME, data, ObjectType.POINT), DATA_KEY)
    with pytest.raises(IntegrityError, match="frame 0"):
        sealed.open_frame(0, data[-20:])
