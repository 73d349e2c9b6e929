"""A store in front of another one."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from safehold.engine.store.base import Body, ObjectEntry, ObjectStore, PartialUpload, UnfinishedUpload


class PassingStore:
    """Passes every call on to the store behind it; whoever wants another answer of some calls derives from it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, name: str, body: Body) -> None:
        """Passed on."""
        self._store.put(name, body)

    def start_upload(self, name: str) -> PartialUpload:
        """Passed on."""
        return self._store.start_upload(name)

    def get(self, name: str) -> bytes:
        """Passed on."""
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Passed on."""
        return self._store.get_range(name, offset, length)

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """Passed on."""
        return self._store.stream_range(name, offset, sizes)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """Passed on."""
        return self._store.list(prefix, limit=limit)

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
