"""A store that is kept from taking all of a network: so many bytes a second, up and down."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from safehold.engine.store.base import Body, ObjectStore, PartialUpload
from safehold.engine.store.passing import PassingStore


class Rate:
    """Bytes a second that several threads share. A body waits until those before it have had their time."""

    def __init__(
        self,
        bytes_per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def take(self, size_bytes: int) -> None:
        """Return when this many bytes may move, and keep the way for as long as they need."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + size_bytes / self._bytes_per_second
        if begin > now:
            self._sleep(begin - now)


class LimitedStore(PassingStore):
    """An ObjectStore whose bodies keep to rates; None is no limit. Calls without a body are not held back."""

    def __init__(self, store: ObjectStore, *, upload: Rate | None = None, download: Rate | None = None) -> None:
        super().__init__(store)
        self._upload = upload
        self._download = download

    def put(self, name: str, body: Body) -> None:
        """Wait, then put."""
        self._up(body)
        self._store.put(name, body)

    def start_upload(self, name: str) -> PartialUpload:
        """An upload whose parts wait."""
        return _LimitedUpload(self._store.start_upload(name), self._up)

    def get(self, name: str) -> bytes:
        """Get, then wait: the size is known afterwards."""
        return self._down(self._store.get(name))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Get, then wait."""
        return self._down(self._store.get_range(name, offset, length))

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """Each piece waits."""
        for piece in self._store.stream_range(name, offset, sizes):
            yield self._down(piece)

    def _up(self, body: Body) -> None:
        if self._upload:
            self._upload.take(len(body))

    def _down(self, body: bytes) -> bytes:
        if self._download:
            self._download.take(len(body))
        return body


class _LimitedUpload:
    def __init__(self, upload: PartialUpload, wait: Callable[[Body], None]) -> None:
        self._upload = upload
        self._wait = wait

    def put_part(self, number: int, body: Body) -> None:
        self._wait(body)
        self._upload.put_part(number, body)

    def complete(self) -> None:
        self._upload.complete()

    def abort(self) -> None:
        self._upload.abort()
