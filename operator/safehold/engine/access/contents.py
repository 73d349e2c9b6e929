"""What chunks and map nodes hold, by id: fetched once however many ask, verified, and held within a bound."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor, Future

from safehold.engine.index.lookup import Index
from safehold.engine.index.segments import Location
from safehold.engine.reading import ChunkReader, PackRange, locate_all, plan_ranges

Pending = Future[bytes]
"""Content that is there, or on its way."""


class ContentCache:
    """Contents by id, those used last within a number of them. Safe to use from several threads.

    What lies in a pack within `near_bytes` of what is fetched is kept as well, if the caller names it: with 0, what
    comes with the same frame anyway.
    """

    def __init__(
        self, reader: ChunkReader, index: Index, executor: Executor, *, capacity: int, near_bytes: int = 0
    ) -> None:
        self._reader = reader
        self._index = index
        self._executor = executor
        self._capacity = capacity
        self._near_bytes = near_bytes
        self._held: OrderedDict[bytes, Pending] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, wanted: Iterable[bytes], beside: Collection[bytes] = ()) -> dict[bytes, Pending]:
        """The contents of these ids. Missing ones are fetched with few requests, side by side.

        `beside`: ids that are worth keeping if they come along. IntegrityError if the index does not know a wanted id;
        other failures are raised by whoever takes the content, and the next to ask tries again.
        """
        asked, new = self._enter(dict.fromkeys(wanted))
        if new:
            try:
                self._start(new, beside)
            except BaseException as problem:
                self._fail(new, problem)
                raise
        return asked

    def get(self, wanted: Sequence[bytes], beside: Collection[bytes] = ()) -> list[bytes]:
        """The same, when it is there, in the order of `wanted`."""
        asked = self.ask(wanted, beside)
        return [asked[each].result() for each in wanted]

    def _enter(self, wanted: Iterable[bytes]) -> tuple[dict[bytes, Pending], dict[bytes, Pending]]:
        """What these ids are or will be, and those of them that the caller has to fetch."""
        asked: dict[bytes, Pending] = {}
        new: dict[bytes, Pending] = {}
        with self._lock:
            for each in wanted:
                if each in self._held:
                    self._held.move_to_end(each)
                else:
                    new[each] = self._held[each] = Pending()
                asked[each] = self._held[each]
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
        return asked, new

    def _start(self, new: dict[bytes, Pending], beside: Collection[bytes]) -> None:
        with self._lock:
            others = {each for each in beside if each not in self._held and each not in new}
        found = self._index.locate({*new, *others})
        if new.keys() - found.keys():
            found |= locate_all(self._index, sorted(new.keys() - found.keys()))
        near = self._near([found[each] for each in new], {each: found[each] for each in others & found.keys()})
        _, come_along = self._enter(near)
        fetched = new | come_along
        for part in plan_ranges({each: found[each] for each in fetched}):
            self._executor.submit(self._read, part, fetched)

    def _near(self, wanted: list[Location], others: dict[bytes, Location]) -> list[bytes]:
        return [
            each
            for each, place in others.items()
            if any(
                place.pack.id == other.pack.id and abs(place.offset - other.offset) <= self._near_bytes
                for other in wanted
            )
        ]

    def _read(self, part: PackRange, fetched: dict[bytes, Pending]) -> None:
        missing = {each: fetched[each] for each, _ in part.chunks}
        try:
            for each, content in self._reader.read(part):
                missing.pop(each).set_result(bytes(content))
        except Exception as problem:  # noqa: BLE001 - raised where the content is taken
            self._fail(missing, problem)

    def _fail(self, missing: dict[bytes, Pending], problem: BaseException) -> None:
        """Nobody keeps a failure: the store may have been away for a moment only."""
        for each, pending in missing.items():
            with self._lock:
                if self._held.get(each) is pending:
                    del self._held[each]
            if not pending.done():
                pending.set_exception(problem)
