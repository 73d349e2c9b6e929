"""A store in memory: for tests, and the plainest statement of what a store does."""

import secrets
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate

from safehold.engine.store.base import Body, ObjectEntry, UnfinishedUpload
from safehold.errors import ObjectMissingError, StoreError


class MemoryStore:
    """Objects in a dictionary. `now` is its clock: a fixed time that tests move."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, datetime] = {}
        self.uploads: dict[str, UnfinishedUpload] = {}
        self.now = now
        self._sent = 0
        self._received = 0
        self._lock = threading.Lock()

    def put(self, name: str, body: Body) -> None:
        """Keep a copy."""
        with self._lock:
            self.objects[name] = bytes(body)
            self.modified[name] = self.now
            self._sent += len(body)

    def start_upload(self, name: str) -> "MemoryUpload":
        """Collect parts aside."""
        return MemoryUpload(self, name)

    def get(self, name: str) -> bytes:
        """The copy."""
        return self._counted(self._whole(name))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """A slice of the copy."""
        return self._counted(self._whole(name)[offset : offset + length])

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """The slices."""
        whole = self._whole(name)
        for start, size in zip(accumulate(sizes, initial=offset), sizes, strict=False):
            if start < len(whole):
                yield self._counted(whole[start : start + size])

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """A listing of this moment."""
        with self._lock:
            found = sorted(name for name in self.objects if name.startswith(prefix))
            entries = [
                ObjectEntry(name, len(self.objects[name]), self.modified.get(name, self.now)) for name in found[:limit]
            ]
        return iter(entries)

    def delete(self, name: str) -> None:
        """Forget the copy."""
        with self._lock:
            self.objects.pop(name, None)
            self.modified.pop(name, None)

    def unfinished_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """A listing of this moment."""
        with self._lock:
            return iter([upload for upload in self.uploads.values() if upload.name.startswith(prefix)])

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Forget it; its parts can no longer be completed."""
        with self._lock:
            self.uploads.pop(upload.token, None)

    def time(self) -> datetime:
        """The clock that the tests set."""
        return self.now

    def bytes_sent(self) -> int:
        """Bytes of all bodies so far."""
        return self._sent

    def bytes_received(self) -> int:
        """Bytes of all answers so far."""
        return self._received

    def _whole(self, name: str) -> bytes:
        try:
            return self.objects[name]
        except KeyError:
            raise ObjectMissingError(f"The object {name} does not exist") from None

    def _counted(self, body: bytes) -> bytes:
        with self._lock:
            self._received += len(body)
        return body


class MemoryUpload:
    """Parts that become an object when they are complete."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self._store = store
        self._name = name
        self._token = secrets.token_hex(8)
        self._parts: dict[int, bytes] = {}

    def put_part(self, number: int, body: Body) -> None:
        """Keep a copy of the part."""
        if not self._parts:
            self._store.uploads[self._token] = UnfinishedUpload(self._name, self._token, self._store.now)
        self._parts[number] = bytes(body)

    def complete(self) -> None:
        """Join the parts."""
        if self._token not in self._store.uploads:
            raise StoreError(f"The upload of {self._name} has no parts")
        self._store.put(self._name, b"".join(self._parts[number] for number in sorted(self._parts)))
        del self._store.uploads[self._token]

    def abort(self) -> None:
        """Drop the parts."""
        self._store.uploads.pop(self._token, None)
        self._parts.clear()
