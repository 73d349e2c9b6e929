"""Key sets: what a key domain owns, how it is kept for a recipient, which one counts (docs/format.md, section 3)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from safehold.engine import names
from safehold.engine.keyfile import KEY_BYTES, RepositoryKey, derive
from safehold.engine.sealing import HEADER_BYTES, Header, ObjectType, new_salt, open_single, seal_object
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, KeyMaterialError
from safehold.reasons import Reason

KEY_SET_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys under which chunks are named and sealed. repr shows the id only."""

    id: bytes
    data_key: bytes = field(repr=False)
    id_key: bytes = field(repr=False)

    @property
    def node_key(self) -> bytes:
        """The id key of map nodes: a node and a chunk with the same bytes have different ids."""
        return derive(self.id_key, info="safehold/1/map-node")

    @classmethod
    def generate(cls) -> "KeySet":
        """A new random key set."""
        return cls(*(secrets.token_bytes(n) for n in (KEY_SET_ID_BYTES, KEY_BYTES, KEY_BYTES)))


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key sets of one scope that our key opens; `current` is the one to write with."""

    scope: str
    current: KeySet
    key_sets: dict[bytes, KeySet]

    def data_key(self, key_set_id: bytes, name: str) -> bytes:
        """The data key that sealed the object `name`."""
        found = self.key_sets.get(key_set_id)
        if found is None:
            raise KeyMaterialError(
                f"{name} is sealed with a key set that this key does not open",
                found=key_set_id.hex(),
                reason=Reason.WRONG_KEY,
            )
        return found.data_key


def find_key_ring(store: ObjectStore, key: RepositoryKey, scope: str) -> KeyRing | None:
    """The scope's key sets, or None where there are none yet. KeyMaterialError (WrongKey) if another key made them."""
    wrapped = [_parse(entry.name) for entry in store.list(names.key_sets(scope))]
    if not wrapped:
        return None
    elected = min(key_set_id for key_set_id, _ in wrapped)
    mine = {
        key_set_id: _read(store, key, scope, key_set_id)
        for key_set_id, recipient in wrapped
        if recipient == key.recipient
    }
    if elected not in mine:
        _refuse_other_format(store, next(names.key_set(scope, i, r) for i, r in wrapped if i == elected))
        raise KeyMaterialError(
            "The repository was made with another key",
            expected=f"the key of {' or '.join(r for i, r in wrapped if i == elected)}",
            found=key.recipient,
            remedy="use the key that the repository was made with",
            reason=Reason.WRONG_KEY,
        )
    return KeyRing(scope, mine[elected], mine)


def find_or_create_key_ring(store: ObjectStore, key: RepositoryKey, scope: str, settle: Callable[[], None]) -> KeyRing:
    """As find_key_ring, but the first to come writes a key set.

    `settle` waits until others who started at the same moment have written theirs; then all elect the same.
    """
    found = find_key_ring(store, key, scope)
    if found is not None:
        return found
    fresh = KeySet.generate()
    name = names.key_set(scope, fresh.id, key.recipient)
    payload = fresh.data_key + fresh.id_key
    store.put(name, seal_object(key.secret, fresh.id, ObjectType.KEY_SET, name, [payload], salt=new_salt()))
    settle()
    settled = find_key_ring(store, key, scope)
    if settled is None:
        raise IntegrityError(
            f"The key set {name} was written and is not listed", remedy="use a store that lists what was just written"
        )
    return settled


def _refuse_other_format(store: ObjectStore, name: str) -> None:
    """A repository of another format has other recipients for the same key: that is not a wrong key."""
    Header.parse(name, store.get_range(name, 0, HEADER_BYTES), ObjectType.KEY_SET)


def _parse(name: str) -> tuple[bytes, str]:
    parts = name.split("/")
    try:
        key_set_id = bytes.fromhex(parts[-2])
    except ValueError:
        key_set_id = b""
    if len(parts) != 4 or len(key_set_id) != KEY_SET_ID_BYTES:  # keys/<scope>/<key set>/<recipient>
        raise IntegrityError(f"{name} is not the name of a key set", remedy="remove what does not belong here")
    return key_set_id, parts[-1]


def _read(store: ObjectStore, key: RepositoryKey, scope: str, key_set_id: bytes) -> KeySet:
    name = names.key_set(scope, key_set_id, key.recipient)
    data = store.get(name)
    header = Header.parse(name, data, ObjectType.KEY_SET)
    payload = open_single(name, data, key.secret, ObjectType.KEY_SET)
    if header.key_set != key_set_id or len(payload) != 2 * KEY_BYTES:
        raise IntegrityError(f"{name} is not the key set that its name says")
    return KeySet(key_set_id, payload[:KEY_BYTES], payload[KEY_BYTES:])
