"""A store without some of its objects: what a check sees when it goes on behind a damaged one."""

from collections.abc import Collection, Iterator, Sequence

from safehold.engine.store.base import ObjectEntry, ObjectStore
from safehold.engine.store.passing import PassingStore
from safehold.errors import ObjectMissingError


class HidingStore(PassingStore):
    """The hidden objects seem not to exist."""

    def __init__(self, store: ObjectStore, hidden: Collection[str]) -> None:
        super().__init__(store)
        self._hidden = frozenset(hidden)

    def get(self, name: str) -> bytes:
        """The whole object, unless it is hidden."""
        self._refuse_hidden(name)
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """A part of it, unless it is hidden."""
        self._refuse_hidden(name)
        return self._store.get_range(name, offset, length)

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """A part of it piece by piece, unless it is hidden."""
        self._refuse_hidden(name)
        return self._store.stream_range(name, offset, sizes)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """The others."""
        return (entry for entry in self._store.list(prefix, limit=limit) if entry.name not in self._hidden)

    def _refuse_hidden(self, name: str) -> None:
        if name in self._hidden:
            raise ObjectMissingError(f"The object {name} is damaged and left out")
