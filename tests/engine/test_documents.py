"""Documents in sealed objects: what is read of them, and what is found."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine.keys.rings import KeyRing, KeySet
from safehold.engine.keys.sealing import ObjectType
from safehold.engine.points.documents import read_documents, read_first_document, seal_documents
from safehold.engine.store.memory import MemoryStore
from safehold.errors import IntegrityError, ObjectMissingError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore

KEY_SET = KeySet.generate()
KEYS = KeyRing("target", KEY_SET, {KEY_SET.id: KEY_SET}, datetime(2026, 1, 1, tzinfo=UTC))
NAME = "points/target/0/1"


def store_of(*documents: bytes) -> MemoryStore:
    """A store that holds these documents in one object."""
    store = MemoryStore()
    store.put(NAME, seal_documents(KEYS, ObjectType.POINT, NAME, list(documents)))
    return store


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=2))
def test_documents_come_back(documents: list[bytes]) -> None:
    """All of them, or the first alone."""
    store = store_of(*documents)
    assert read_documents(store, KEYS, ObjectType.POINT, NAME) == documents
    assert read_first_document(store, KEYS, ObjectType.POINT, NAME) == documents[0]


@pytest.mark.parametrize(("first_bytes", "requests"), [(1000, 1), (16_000, 1), (16_384, 2), (100_000, 2)])
def test_the_first_document_is_read_without_the_second(
    faulty: type[FaultyStore], first_bytes: int, requests: int
) -> None:
    """A listing of points costs a small range for each, however large the machine's objects are."""
    first = secrets.token_bytes(first_bytes)
    store = faulty(store_of(first, secrets.token_bytes(500_000)))
    assert read_first_document(store, KEYS, ObjectType.POINT, NAME) == first
    assert store.calls == requests
    assert store.bytes_read <= max(first_bytes + 200, 16_384)


@given(st.integers(0, 40_100))
def test_a_truncated_object_is_named(length: int) -> None:
    """Wherever it was cut, by whatever is read of it."""
    store = store_of(secrets.token_bytes(20_000), secrets.token_bytes(20_000))
    data = store.objects[NAME]
    assert len(data) > 40_100
    store.objects[NAME] = data[:length]
    with pytest.raises(IntegrityError, match=NAME):
        read_documents(store, KEYS, ObjectType.POINT, NAME)
    if length < 20_000:
        with pytest.raises(IntegrityError, match=NAME):
            read_first_document(store, KEYS, ObjectType.POINT, NAME)


def test_a_missing_object_is_told_as_missing() -> None:
    """So that callers can say what it means."""
    for read in (read_documents, read_first_document):
        with pytest.raises(ObjectMissingError, match=NAME):
            read(MemoryStore(), KEYS, ObjectType.POINT, NAME)
