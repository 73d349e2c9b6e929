"""Threads that send: as many at once as the way to the store rewards."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Self

from safehold.engine.store.base import Body, ObjectStore, PartialUpload

FIRST_LANES = 2
MOST_LANES = 6
"""Parts of 8 MiB under way at once: enough for 4 Gbit/s at 80 ms, and 48 MiB of memory."""
_WORTH_A_LANE = 1.1
"""How much faster it must go with one lane more to keep it."""
_ROUNDS = 2
"""Bodies per lane that are sent before a rate is believed."""
_PATIENCE = 8
"""Rates to see before a lane that was in vain is tried again."""


class LaneCount:
    """How many lanes to use: one more as long as that makes it faster, one less where it was in vain.

    Told what was sent and when, so it holds no clock. A lane that was taken back is tried again after a while, since
    the way to the store may have become better.
    """

    def __init__(self, *, first: int = FIRST_LANES, most: int = MOST_LANES) -> None:
        self.lanes = first
        self._most = most
        self._rates: dict[int, float] = {}
        self._patience = 0
        self._since: float | None = None
        self._bytes = 0
        self._bodies = 0

    def sent(self, size_bytes: int, began: float, now: float) -> None:
        """A body of this size was sent between these seconds."""
        if self._since is None:
            self._since = began
        self._bytes += size_bytes
        self._bodies += 1
        if self._bodies >= _ROUNDS * self.lanes and now > self._since:
            self._judge(self._bytes / (now - self._since))
            self._since, self._bytes, self._bodies = now, 0, 0

    def _judge(self, rate: float) -> None:
        self._rates[self.lanes] = rate
        if rate <= _WORTH_A_LANE * self._rates.get(self.lanes - 1, 0):
            self.lanes -= 1
            self._patience = _PATIENCE
        elif self._patience > 0:
            self._patience -= 1
        elif self.lanes < self._most:
            self.lanes += 1


class UploadLanes:
    """Threads that send. `put` and its like wait while all lanes are busy, which holds back whoever produces."""

    def __init__(self, count: LaneCount | None = None) -> None:
        self._count = count or LaneCount()
        self._executor = ThreadPoolExecutor(MOST_LANES, thread_name_prefix="upload")
        self._turn = threading.Condition()
        self._busy = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def put(self, store: ObjectStore, name: str, body: Body) -> "Future[None]":
        """Send a whole object."""
        return self._submitted(lambda: store.put(name, body), len(body))

    def put_part(self, upload: PartialUpload, number: int, body: Body) -> "Future[None]":
        """Send one part."""
        return self._submitted(lambda: upload.put_part(number, body), len(body))

    def complete(self, upload: PartialUpload, parts: "list[Future[None]]") -> "Future[None]":
        """Complete the upload after its parts. They were submitted before, so they never wait for this one's lane."""

        def finish() -> None:
            for part in parts:
                part.result()
            upload.complete()

        return self._submitted(finish, 0)

    def _submitted(self, call: Callable[[], None], size_bytes: int) -> "Future[None]":
        with self._turn:
            self._turn.wait_for(lambda: self._busy < self._count.lanes)
            self._busy += 1
        return self._executor.submit(self._run, call, size_bytes)

    def _run(self, call: Callable[[], None], size_bytes: int) -> None:
        began = monotonic()
        try:
            call()
        finally:
            with self._turn:
                self._busy -= 1
                if size_bytes:
                    self._count.sent(size_bytes, began, monotonic())
                self._turn.notify()
