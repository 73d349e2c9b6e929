"""A store without some of its objects: what a check sees when it goes on behind a damaged one."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from safehold.engine.store.base import Body, ObjectEntry, ObjectStore, PartialUpload, UnfinishedUpload
from safehold.errors import ObjectMissingError


class HidingStore:
    """Passes everything on, except that the hidden objects seem not to exist."""

    def __init__(self, store: ObjectStore, hidden: Collection[str]) -> None:
        self._store = store
        self._hidden = frozenset(hidden)

    def put(self, name: str, body: Body) -> None:
        """Passed on."""
        self._store.put(name, body)

    def start_upload(self, name: str) -> PartialUpload:
        """Passed on."""
        return self._store.start_upload(name)

    def get(self, name: str) -> bytes:
        """Passed on, unless it is hidden."""
        self._refuse_hidden(name)
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Passed on, unless it is hidden."""
        self._refuse_hidden(name)
        return self._store.get_range(name, offset, length)

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """A part of an object that is not hidden, piece by piece."""
        self._refuse_hidden(name)
        return self._store.stream_range(name, offset, sizes)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """The others."""
        return (entry for entry in self._store.list(prefix, limit=limit) if entry.name not in self._hidden)

    def delete(self, name: str) -> None:
        """Passed on."""
        self._store.delete(name)

    def unfinished_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Passed on."""
        return self._store.unfinished_uploads(prefix)

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Passed on."""
        self._store.abort_upload(upload)

    def time(self) -> datetime:
        """Passed on."""
        return self._store.time()

    def bytes_sent(self) -> int:
        """Passed on."""
        return self._store.bytes_sent()

    def bytes_received(self) -> int:
        """Passed on."""
        return self._store.bytes_received()

    def _refuse_hidden(self, name: str) -> None:
        if name in self._hidden:
            raise ObjectMissingError(f"The object {name} is damaged and left out")
