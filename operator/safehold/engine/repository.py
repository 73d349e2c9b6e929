"""A repository as its users see it: open or lay out, and hand out key domains."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from safehold.engine import names
from safehold.engine.geometry import FORMAT_1, Geometry
from safehold.engine.index.lookup import Index
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.keys.rings import SETTLED, KeyRing, find_key_ring, find_or_create_key_ring
from safehold.engine.plaintext.objects import lay_out_texts
from safehold.engine.points.catalogue import Points
from safehold.engine.points.holds import Holds
from safehold.engine.store.base import ObjectStore
from safehold.errors import PointError, StoreError
from safehold.reasons import Reason


def wait_for_others() -> None:
    """What a first run does until all who started at the same moment know the same key sets."""
    time.sleep(SETTLED.total_seconds())


def prove_access(store: ObjectStore, *, writable: bool) -> None:
    """Do once what runs will do: list, read, and where `writable` write and delete. Raises what the store raises."""
    listed = next(store.list("", limit=1), None)
    if listed is not None:
        store.get_range(listed.name, 0, min(listed.size_bytes, 1) or 1)
    if not writable:
        return
    name = names.probe()
    content = secrets.token_bytes(32)
    store.put(name, content)
    try:
        if store.get(name) != content or [entry.name for entry in store.list(name)] != [name]:
            raise StoreError("The store does not return what was just written", remedy="use a consistent store")
    finally:
        store.delete(name)


@dataclass(frozen=True, slots=True)
class Domain:
    """A key domain that is open: its keys, index and points."""

    name: str
    store: ObjectStore
    keys: KeyRing
    index: Index
    points: Points
    geometry: Geometry

    @property
    def holds(self) -> Holds:
        """What keeps its points from being forgotten."""
        return Holds(self.store, self.keys)


@dataclass(frozen=True, slots=True)
class Repository:
    """An open repository; `keys` are its own, beside those of its key domains."""

    store: ObjectStore
    key: RepositoryKey
    keys: KeyRing
    geometry: Geometry
    settle: Callable[[], None]

    @classmethod
    def open(
        cls,
        store: ObjectStore,
        key: RepositoryKey,
        *,
        create: bool,
        geometry: Geometry = FORMAT_1,
        settle: Callable[[], None] = wait_for_others,
    ) -> "Repository":
        """Open the repository; with `create` lay it out where there is none. WrongKey for another's key."""
        if create:
            ring = find_or_create_key_ring(store, key, names.REPOSITORY_SCOPE, settle)
            lay_out_texts(store, ring)
        else:
            found = find_key_ring(store, key, names.REPOSITORY_SCOPE)
            if found is None:
                raise StoreError(
                    "There is no repository at this place",
                    remedy="check bucket and prefix, or make a first backup",
                    reason=Reason.REPOSITORY_NOT_FOUND,
                )
            ring = found
        return cls(store, key, ring, geometry, settle)

    @property
    def id(self) -> str:
        """Stays the same as long as the repository lives, and tells a swapped bucket."""
        return self.keys.elected.id.hex()

    def domains(self) -> list[str]:
        """The names of all key domains, in order."""
        scopes = {entry.name.split("/")[1] for entry in self.store.list(names.KEYS)}
        return sorted(names.domain_of_scope(scope) for scope in scopes - {names.REPOSITORY_SCOPE})

    def domain(self, name: str, *, create: bool) -> Domain:
        """Open a key domain; with `create` make its keys where it has none."""
        scope = names.scope_of_domain(name)
        if create:
            ring = find_or_create_key_ring(self.store, self.key, scope, self.settle)
        else:
            found = find_key_ring(self.store, self.key, scope)
            if found is None:
                raise PointError(
                    f"The repository has no key domain {name}, so no restore point in it",
                    remedy="check the key domain, or that its keys were not destroyed",
                )
            ring = found
        return Domain(
            name=name,
            store=self.store,
            keys=ring,
            index=Index(self.store, ring, self.geometry),
            points=Points(self.store, ring, name),
            geometry=self.geometry,
        )
