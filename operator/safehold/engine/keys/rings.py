"""Key sets: what a key domain owns, how it is kept for a recipient, which one counts (docs/format.md, section 3)."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from safehold.engine import names
from safehold.engine.keys.keyfile import KEY_BYTES, RepositoryKey, derive
from safehold.engine.keys.sealing import HEADER_BYTES, Header, ObjectType, new_salt, open_single, seal_object
from safehold.engine.store.base import ObjectEntry, ObjectStore
from safehold.errors import IntegrityError, KeyMaterialError
from safehold.reasons import Reason

KEY_SET_ID_BYTES = 16
SETTLED = timedelta(seconds=2)
"""Age of a first key set at which no writer can turn up with an earlier one: stores tell whole seconds."""
_NAME = re.compile(r"keys/[^/]+/(?P<generation>\d{4})-(?P<id>[0-9a-f]{32})/(?P<recipient>[0-9a-f]{16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys under which chunks are named and sealed. repr shows no key.

    `generation` counts a domain's data keys from 0; sets of later generations keep the id key of the first.
    """

    generation: int
    id: bytes
    data_key: bytes = field(repr=False)
    id_key: bytes = field(repr=False)

    @property
    def node_key(self) -> bytes:
        """The id key of map nodes: a node and a chunk with the same bytes have different ids."""
        return derive(self.id_key, info="safehold/1/map-node")

    @classmethod
    def generate(cls) -> "KeySet":
        """The first key set of a domain, all random."""
        key_set_id, data_key, id_key = (secrets.token_bytes(n) for n in (KEY_SET_ID_BYTES, KEY_BYTES, KEY_BYTES))
        return cls(generation=0, id=key_set_id, data_key=data_key, id_key=id_key)

    def next_generation(self) -> "KeySet":
        """A key set with a new data key that names chunks as this one does."""
        fresh = KeySet.generate()
        return replace(fresh, generation=self.generation + 1, id_key=self.id_key)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key sets of one scope that our key opens.

    `elected` decides the id key and is the scope's identity as long as it lives; `current` is the one to seal with.
    """

    scope: str
    elected: KeySet
    key_sets: dict[bytes, KeySet]
    since: datetime = field(compare=False)
    """When the elected key set was written, by the store's clock."""

    @property
    def current(self) -> KeySet:
        """The newest data key that belongs to the elected id key."""
        heirs = [key_set for key_set in self.key_sets.values() if key_set.id_key == self.elected.id_key]
        return min(heirs, key=lambda each: (-each.generation, each.id))

    def key_set(self, key_set_id: bytes, name: str) -> KeySet:
        """The key set that sealed the object, or named the chunks of the point, that `name` tells."""
        found = self.key_sets.get(key_set_id)
        if found is None:
            raise KeyMaterialError(
                f"{name} is sealed with a key set that this key does not open",
                found=key_set_id.hex(),
                reason=Reason.WRONG_KEY,
            )
        return found

    def data_key(self, key_set_id: bytes, name: str) -> bytes:
        """The data key that sealed the object `name`."""
        return self.key_set(key_set_id, name).data_key

    def names_alike(self, key_set_id: str) -> bool:
        """Whether chunk ids that were made under that key set (hexadecimal) can be compared with those made now."""
        found = self.key_sets.get(bytes.fromhex(key_set_id))
        return found is not None and found.id_key == self.elected.id_key


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """A key set as a listing tells it."""

    generation: int
    id: bytes
    recipient: str
    written: datetime

    @classmethod
    def found(cls, store: ObjectStore, entry: ObjectEntry) -> "_Wrapped":
        match = _NAME.fullmatch(entry.name)
        if match is None:
            _refuse_other_format(store, entry.name)
            raise IntegrityError(
                f"{entry.name} is not the name of a key set", remedy="remove what does not belong here"
            )
        return cls(int(match["generation"]), bytes.fromhex(match["id"]), match["recipient"], entry.modified)

    @property
    def rank(self) -> tuple[int, datetime, bytes]:
        """The smallest is elected. The first in time wins, so that one that comes late changes nothing."""
        return self.generation, self.written, self.id

    def name(self, scope: str) -> str:
        return names.key_set(scope, self.generation, self.id, self.recipient)


def find_key_ring(store: ObjectStore, key: RepositoryKey, scope: str) -> KeyRing | None:
    """The scope's key sets, or None where there are none yet. KeyMaterialError (WrongKey) if another key made them."""
    wrapped = [_Wrapped.found(store, entry) for entry in store.list(names.key_sets(scope))]
    if not wrapped:
        return None
    first = min(wrapped, key=lambda each: each.rank)
    mine = {each.id: _read(store, key, scope, each) for each in wrapped if each.recipient == key.recipient}
    if first.id not in mine:
        _refuse_other_format(store, first.name(scope))
        raise KeyMaterialError(
            "The repository was made with another key",
            expected=f"the key of {' or '.join(each.recipient for each in wrapped if each.id == first.id)}",
            found=key.recipient,
            remedy="use the key that the repository was made with",
            reason=Reason.WRONG_KEY,
        )
    return KeyRing(scope, mine[first.id], mine, first.written)


def find_or_create_key_ring(store: ObjectStore, key: RepositoryKey, scope: str, settle: Callable[[], None]) -> KeyRing:
    """As find_key_ring, but the first to come writes a key set.

    Whoever finds none that is SETTLED lets `settle` wait so long before looking again; then all elect the same, also
    with a writer whose key set was on its way all the while.
    """
    found = find_key_ring(store, key, scope)
    if found is None:
        wrap(store, key, scope, KeySet.generate())
    elif store.time() - found.since >= SETTLED:
        return found
    settle()
    settled = find_key_ring(store, key, scope)
    if settled is None:
        raise IntegrityError(
            f"A key set was written below {names.key_sets(scope)} and is not listed",
            remedy="use a store that lists what was just written",
        )
    return settled


def wrap(store: ObjectStore, key: RepositoryKey, scope: str, key_set: KeySet) -> str:
    """Keep the key set for the recipient that has `key`; returns the object's name."""
    name = names.key_set(scope, key_set.generation, key_set.id, key.recipient)
    payload = key_set.data_key + key_set.id_key
    store.put(name, seal_object(key.secret, key_set.id, ObjectType.KEY_SET, name, [payload], salt=new_salt()))
    return name


def _refuse_other_format(store: ObjectStore, name: str) -> None:
    """Other formats name key sets, and recipients of the same key, in other ways: that is no wrong key, nor damage."""
    Header.parse(name, store.get_range(name, 0, HEADER_BYTES), ObjectType.KEY_SET)


def _read(store: ObjectStore, key: RepositoryKey, scope: str, wrapped: _Wrapped) -> KeySet:
    name = wrapped.name(scope)
    data = store.get(name)
    header = Header.parse(name, data, ObjectType.KEY_SET)
    payload = open_single(name, data, key.secret, ObjectType.KEY_SET)
    if header.key_set != wrapped.id or len(payload) != 2 * KEY_BYTES:
        raise IntegrityError(f"{name} is not the key set that its name says")
    data_key, id_key = payload[:KEY_BYTES], payload[KEY_BYTES:]
    return KeySet(generation=wrapped.generation, id=wrapped.id, data_key=data_key, id_key=id_key)
