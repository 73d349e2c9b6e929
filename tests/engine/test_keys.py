"""Key sets and their election."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.keys.rings import SETTLED, KeyRing, KeySet, find_key_ring, find_or_create_key_ring, wrap
from safehold.engine.store.base import ObjectEntry
from safehold.engine.store.memory import MemoryStore
from safehold.errors import IntegrityError, KeyMaterialError, UnknownFormatError
from safehold.reasons import Reason

KEY = RepositoryKey.generate()


def no_wait() -> None:
    """Nobody else starts at this moment."""


def test_the_first_makes_a_key_set_that_the_next_finds() -> None:
    """A scope gets its keys once."""
    store = MemoryStore()
    assert find_key_ring(store, KEY, "target") is None
    made = find_or_create_key_ring(store, KEY, "target", no_wait)
    store.now += SETTLED
    assert find_or_create_key_ring(store, KEY, "target", pytest.fail) == made
    assert find_key_ring(store, KEY, "target") == made


def wait(barrier: threading.Barrier) -> None:
    """Until all writers are here."""
    barrier.wait(timeout=60)


class RacingStore(MemoryStore):
    """One writer's view of a store that all share: its first listing is over before anybody writes."""

    def __init__(self, objects: dict[str, bytes], listed: threading.Barrier) -> None:
        super().__init__()
        self.objects = objects
        self._listed: threading.Barrier | None = listed

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """List, and the first time wait for the others."""
        found = super().list(prefix, limit=limit)
        barrier, self._listed = self._listed, None
        if barrier:
            barrier.wait(timeout=60)
        return found


def test_first_writers_at_the_same_moment_agree() -> None:
    """Eight that saw no key set all end with the same one, without locks or conditional writes."""
    writers = 8
    objects: dict[str, bytes] = {}
    listed, written = threading.Barrier(writers), threading.Barrier(writers)

    def first(_: int) -> KeyRing:
        store = RacingStore(objects, listed)
        return find_or_create_key_ring(store, KEY, "target", lambda: wait(written))

    with ThreadPoolExecutor(writers) as executor:
        rings = list(executor.map(first, range(writers)))
    assert len(objects) == writers
    assert {ring.current for ring in rings} == {min((ring.current for ring in rings), key=lambda each: each.id)}
    assert all(len(ring.key_sets) == writers for ring in rings)


def test_a_key_set_that_comes_late_changes_nothing_and_stays_readable() -> None:
    """Whatever its id is: points under it are opened with it for ever, and nothing new is named by it."""
    store = MemoryStore()
    first = find_or_create_key_ring(store, KEY, "target", no_wait).current
    for seconds in range(1, 9):
        store.now += timedelta(seconds=1)
        late = replace(KeySet.generate(), id=bytes([seconds]) * 16)
        wrap(store, KEY, "target", late)
        ring = find_key_ring(store, KEY, "target")
        assert ring is not None
        assert (ring.elected, ring.current) == (first, first)
        assert ring.data_key(late.id, "some object") == late.data_key


@dataclass(frozen=True)
class Writer:
    """Looks at the store at one moment, and what it writes then arrives later; in milliseconds."""

    looks: int
    arrives_after: int

    @property
    def arrives(self) -> int:
        """When its key set is in the store, if it writes one."""
        return self.looks + self.arrives_after


class Timeline(MemoryStore):
    """A store as it is at one moment of a history; its listings and its clock tell whole seconds."""

    def __init__(self, written: dict[str, tuple[int, bytes]], now: int, arrival: int) -> None:
        super().__init__(moment(now))
        self._written, self._arrival = written, arrival
        self.objects = {name: data for name, (at, data) in written.items() if at <= now}
        self.modified = {name: moment(at) for name, (at, _) in written.items() if at <= now}

    def put(self, name: str, body: bytes | bytearray) -> None:
        """It arrives when this writer's does."""
        self._written[name] = self._arrival, bytes(body)


def moment(milliseconds: int) -> datetime:
    """As stores tell it."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=milliseconds // 1000)


class Settling(Exception):  # noqa: N818 - the point in a history at which a writer begins to wait
    """A writer begins to wait."""


def begin_to_settle() -> None:
    """Stop the writer here; what it sees afterwards is asked apart."""
    raise Settling


@given(st.lists(st.builds(Writer, st.integers(0, 9_000), st.integers(0, 9_000)), min_size=1, max_size=6))
def test_all_elect_the_same_however_long_a_key_set_is_on_its_way(writers: list[Writer]) -> None:
    """Writers that look, write and wait in every order name chunks by one id key."""
    written: dict[str, tuple[int, bytes]] = {}
    used: set[bytes] = set()
    waits_from: list[int] = []
    for writer in sorted(writers, key=lambda each: each.looks):
        before = len(written)
        store = Timeline(written, writer.looks, writer.arrives)
        try:
            used.add(find_or_create_key_ring(store, KEY, "target", begin_to_settle).elected.id)
        except Settling:
            waits_from.append(writer.arrives if len(written) > before else writer.looks)
    for begin in waits_from:
        end = begin + int(SETTLED.total_seconds() * 1000)
        ring = find_key_ring(Timeline(written, end, end), KEY, "target")
        assert ring is not None
        used.add(ring.elected.id)
    assert len(used) == 1


def test_another_key_is_refused_and_both_recipients_are_named() -> None:
    """WrongKey tells which key was expected, without telling a key."""
    store, other = MemoryStore(), RepositoryKey.generate()
    find_or_create_key_ring(store, KEY, "target", no_wait)
    for find in (find_key_ring, partial(find_or_create_key_ring, settle=no_wait)):
        with pytest.raises(KeyMaterialError, match=KEY.recipient) as caught:
            find(store, other, "target")
        assert caught.value.reason is Reason.WRONG_KEY


@pytest.mark.parametrize("named", ["as today", "as format 0 did"])
def test_a_repository_of_another_format_is_no_wrong_key(named: str) -> None:
    """Recipients and key sets have other names in other formats: the version is told before anything is blamed."""
    store = MemoryStore()
    find_or_create_key_ring(store, RepositoryKey.generate(), "target", no_wait)
    name, data = store.objects.popitem()
    store.objects[name if named == "as today" else name.replace("0000-", "")] = data[:9] + b"\0" + data[10:]
    with pytest.raises(UnknownFormatError, match="expected 1, found 0"):
        find_key_ring(store, KEY, "target")


def test_what_does_not_belong_among_the_keys_is_named() -> None:
    """A stray object there is neither a key set nor overlooked."""
    store = MemoryStore()
    find_or_create_key_ring(store, KEY, "target", no_wait)
    name, data = next(iter(store.objects.items()))
    store.objects[name + ".bak"] = data
    with pytest.raises(IntegrityError, match="is not the name of a key set"):
        find_key_ring(store, KEY, "target")


def test_every_recipient_opens_the_same_key_sets() -> None:
    """A key set that is wrapped for a second key opens with either, and elects the same."""
    store, second = MemoryStore(), RepositoryKey.generate()
    ring = find_or_create_key_ring(store, KEY, "target", no_wait)
    wrap(store, second, "target", ring.elected)
    assert find_key_ring(store, second, "target") == ring


@given(st.lists(st.integers(1, 3), max_size=4))
def test_after_rotation_new_data_has_the_newest_key_and_ids_stay(generations: list[int]) -> None:
    """Identity and chunk ids are those of the first key set, whatever data keys came later and in whatever order."""
    store = MemoryStore()
    first = find_or_create_key_ring(store, KEY, "target", no_wait)
    made = []
    for generation in generations:
        made.append(replace(first.current.next_generation(), generation=generation))
        wrap(store, KEY, "target", made[-1])
    ring = find_key_ring(store, KEY, "target")
    assert ring is not None
    assert ring.elected == first.elected
    assert ring.current.id_key == first.elected.id_key
    assert ring.current.generation == max([0, *generations])
    assert all(ring.names_alike(key_set.id.hex()) for key_set in made)
    assert len({key_set.data_key for key_set in ring.key_sets.values()}) == len(generations) + 1


def test_a_key_set_of_another_id_key_is_never_written_with() -> None:
    """Who lost the election rotates in vain: its chunk ids are others, so nothing new is sealed with its keys."""
    store = MemoryStore()
    first = find_or_create_key_ring(store, KEY, "target", no_wait)
    stranger = replace(KeySet.generate(), generation=1)
    wrap(store, KEY, "target", stranger)
    ring = find_key_ring(store, KEY, "target")
    assert ring is not None
    assert ring.current == first.current
    assert not ring.names_alike(stranger.id.hex())


def test_two_keys_that_lay_out_the_same_place_at_once_do_not_both_win() -> None:
    """The one whose key set lost learns it before it writes anything else."""
    store, other = MemoryStore(), RepositoryKey.generate()

    def rival() -> None:
        find_or_create_rival(store, other)

    outcomes: list[KeyRing | Reason] = []
    for key, settle in ((KEY, rival), (other, no_wait)):
        try:
            outcomes.append(find_or_create_key_ring(store, key, "target", settle))
        except KeyMaterialError as problem:
            outcomes.append(problem.reason)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyRing", "Reason"]


def find_or_create_rival(store: MemoryStore, key: RepositoryKey) -> None:
    """What another installation with another key writes meanwhile."""
    apart = MemoryStore()
    find_or_create_key_ring(apart, key, "target", no_wait)
    store.objects.update(apart.objects)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:80] + bytes([b[80] ^ 1]) + b[81:]])
def test_a_damaged_key_set_is_named(change: Callable[[bytes], bytes]) -> None:
    """A key set is never half understood."""
    store = MemoryStore()
    find_or_create_key_ring(store, KEY, "target", no_wait)
    name = next(iter(store.objects))
    store.objects[name] = change(store.objects[name])
    with pytest.raises(IntegrityError, match=name):
        find_key_ring(store, KEY, "target")


def test_repr_hides_keys() -> None:
    """A key set shows its id only."""
    key_set = KeySet.generate()
    assert key_set.data_key.hex() not in repr(key_set)
    assert repr(key_set.data_key) not in repr(key_set)
    assert repr(key_set.id_key) not in repr(key_set)
