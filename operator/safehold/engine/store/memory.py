"""A store in memory: for tests, and the plainest statement of what a store does."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from safehold.engine.store.base import Body, ObjectEntry
from safehold.errors import ObjectMissingError, StoreError


class MemoryStore:
    """Objects in a dictionary. `now` is its clock: a fixed time that tests move."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.objects: dict[str, bytes] = {}
        self.now = now
        self._sent = 0
        self._lock = threading.Lock()

    def put(self, name: str, body: Body) -> None:
        """Keep a copy."""
        with self._lock:
            self.objects[name] = bytes(body)
            self._sent += len(body)

    def start_upload(self, name: str) -> "MemoryUpload":
        """Collect parts aside."""
        return MemoryUpload(self, name)

    def get(self, name: str) -> bytes:
        """The copy."""
        try:
            return self.objects[name]
        except KeyError:
            raise ObjectMissingError(f"The object {name} does not exist") from None

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """A slice of the copy."""
        return self.get(name)[offset : offset + length]

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """A listing of this moment."""
        with self._lock:
            found = sorted(name for name in self.objects if name.startswith(prefix))
        return iter([ObjectEntry(name, len(self.objects[name])) for name in found[:limit]])

    def delete(self, name: str) -> None:
        """Forget the copy."""
        with self._lock:
            self.objects.pop(name, None)

    def time(self) -> datetime:
        """The clock that the tests set."""
        return self.now

    def bytes_sent(self) -> int:
        """Bytes of all bodies so far."""
        return self._sent


class MemoryUpload:
    """Parts that become an object when they are complete."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self._store = store
        self._name = name
        self._parts: dict[int, bytes] = {}

    def put_part(self, number: int, body: Body) -> None:
        """Keep a copy of the part."""
        self._parts[number] = bytes(body)

    def complete(self) -> None:
        """Join the parts."""
        if not self._parts:
            raise StoreError(f"The upload of {self._name} has no parts")
        self._store.put(self._name, b"".join(self._parts[number] for number in sorted(self._parts)))

    def abort(self) -> None:
        """Drop the parts."""
        self._parts.clear()
