"""Holds: sealed objects beside the points, one for each time that somebody holds one."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.engine.conftest import TINY

from safehold.engine import names
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.memory import MemoryStore
from safehold.errors import IntegrityError, PointError
from safehold.reasons import Reason

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
POINT = f"{'a' * 16}-000001-{'b' * 16}"
OTHER = f"{'a' * 16}-000002-{'b' * 16}"


@pytest.fixture
def store() -> MemoryStore:
    """An empty one."""
    return MemoryStore()


@pytest.fixture
def domain(store: MemoryStore) -> Domain:
    """A key domain in it."""
    repository = Repository.open(store, RepositoryKey.generate(), create=True, geometry=TINY, settle=lambda: None)
    return repository.domain("target", create=True)


def held_objects(store: MemoryStore) -> list[str]:
    """The names of all holds."""
    return [name for name in store.objects if name.startswith("holds/")]


def test_a_point_is_held_until_it_is_released(domain: Domain, store: MemoryStore) -> None:
    """By whoever wanted it, each with a reason; releasing takes all of them off, and no other point's."""
    domain.holds.place(POINT, "audit 2026", NOW)
    domain.holds.place(POINT, "before the upgrade", NOW - timedelta(days=1))
    domain.holds.place(OTHER, "lawsuit", NOW)
    assert domain.holds.points() == {POINT, OTHER}
    assert [hold.reason for hold in domain.holds.of(POINT)] == ["before the upgrade", "audit 2026"]
    with pytest.raises(PointError, match="audit 2026") as refused:
        domain.holds.refuse(POINT)
    assert refused.value.reason is Reason.HELD
    assert domain.holds.release(POINT) == 2
    assert domain.holds.release(POINT) == 0
    domain.holds.refuse(POINT)
    assert domain.holds.points() == {OTHER}
    assert len(held_objects(store)) == 1


def test_why_a_point_is_held_is_sealed(domain: Domain, store: MemoryStore) -> None:
    """Whoever only sees the bucket learns which point is held, and not why."""
    domain.holds.place(POINT, "lawsuit", NOW)
    (name,) = held_objects(store)
    assert POINT in name
    assert b"lawsuit" not in store.objects[name]


def test_a_damaged_hold_holds_all_the_same(domain: Domain, store: MemoryStore) -> None:
    """That it is there counts; only its reason is lost."""
    domain.holds.place(POINT, "lawsuit", NOW)
    (name,) = held_objects(store)
    store.objects[name] = store.objects[name][:-1] + b"\0"
    assert domain.holds.points() == {POINT}
    with pytest.raises(IntegrityError):
        domain.holds.refuse(POINT)
    assert domain.holds.release(POINT) == 1


def test_what_is_no_hold_stops_whoever_looks(domain: Domain, store: MemoryStore) -> None:
    """It could have been one whose point must stay."""
    store.put(f"{names.holds('target')}{POINT}", b"")
    with pytest.raises(IntegrityError, match="not the name of a hold"):
        domain.holds.points()
