"""Which segments of a domain a run looks at, and how few requests that takes."""

import threading
from collections.abc import Iterable, Iterator
from itertools import chain

from safehold.engine import names
from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segments import SegmentEntry
from safehold.errors import ObjectMissingError

_REUSE_REQUESTS = 9
"""Of a run, for lists, fronts and filters; keys, points and condemned lists take as many again.

What lies beyond may be uploaded again, and maintenance folds it."""
_PAGE_ENTRIES = 1000
_EARLIER_SEGMENTS = 16
"""Of an earlier attempt: it searched in 8 at most, and what it had merged before is listed with them."""


class SegmentCatalogue:
    """The segments that were opened, and those that the point which is read or made must name."""

    def __init__(self, source: SegmentSource) -> None:
        self._source = source
        self._run_id = ""
        self._lock = threading.RLock()
        self._opened: dict[str, Segment | None] = {}
        self._named: dict[str, SegmentEntry] = {}
        self._own: dict[str, SegmentEntry] = {}
        self._folds: list[SegmentEntry] | None = None
        self._others: list[Segment] | None = None
        self._requests = 0

    @property
    def named(self) -> list[SegmentEntry]:
        """Followed, written and reused ones, without those that turned out to be gone: folds have what they listed."""
        with self._lock:
            return list(self._named.values())

    @property
    def own(self) -> list[SegmentEntry]:
        """Those that this run has written."""
        with self._lock:
            return list(self._own.values())

    def begin(self, run_id: str) -> None:
        """Continue what an earlier attempt of this run has written."""
        self._run_id = run_id

    def follow(self, entries: Iterable[SegmentEntry]) -> None:
        """Look in these first."""
        with self._lock:
            self._named.update((entry.name, entry) for entry in entries)

    def reuse(self, segment: Segment) -> None:
        """Name the segment, because chunks are reused from it. Folds are found without being named."""
        if segment.name.startswith(names.run_segments(self._source.keys.scope)):
            self.follow([segment.entry])

    def is_own(self, segment: Segment) -> bool:
        """Whether this run wrote it."""
        return segment.name in self._own

    def replace(self, merged: Iterable[SegmentEntry], written: SegmentEntry) -> None:
        """Name what this run has written in place of the segments that were merged into it, if any."""
        with self._lock:
            for entry in merged:
                self._named.pop(entry.name, None)
                self._own.pop(entry.name, None)
            self._named[written.name] = self._own[written.name] = written

    def lose(self, segment: Segment) -> None:
        """A segment has disappeared while it was read: it was folded, and its time was over."""
        with self._lock:
            self._lose(segment.entry)

    def open(self, entry: SegmentEntry) -> Segment | None:
        """The open segment, or None if it is gone."""
        with self._lock:
            if entry.name not in self._opened:
                self._requests += entry.name not in self._own
                try:
                    self._opened[entry.name] = Segment.open(self._source, entry)
                except ObjectMissingError:
                    self._lose(entry)
            return self._opened[entry.name]

    def for_locating(self) -> Iterator[Segment]:
        """Named segments, then folds, at last everything that is listed now, each opened when it is its turn."""
        seen = set()
        for listing in (self._listed_named, self._listed_folds, self._listed_now):
            for entry in sorted(listing(), key=_largest_first):
                if entry.name not in seen:
                    seen.add(entry.name)
                    segment = self.open(entry)
                    if segment is not None:
                        yield segment

    def for_reuse(self) -> list[Segment]:
        """Named segments, folds and some of the newest run segments, with their filters, within the bound.

        An earlier attempt of the same run is continued: its segments are looked at like the run's own.
        """
        with self._lock:
            newest = self._list_newest() if self._others is None else []
            named = [segment for entry in self.named if (segment := self._filtered(entry))]
            if self._others is None:
                self._others = list(self._open_others(newest))
            return named + [segment for segment in self._others if self._is_other(segment)]

    def _list_newest(self) -> list[SegmentEntry]:
        self._requests += 1
        newest = self._list(names.run_segments(self._source.keys.scope), limit=_PAGE_ENTRIES)
        earlier = [entry for entry in newest if names.is_segment_of_run(entry.name, self._run_id)]
        self.follow(_by_turns(earlier)[:_EARLIER_SEGMENTS])
        return newest

    def _open_others(self, newest: list[SegmentEntry]) -> Iterator[Segment]:
        for entry in [*sorted(self._listed_folds(), key=_largest_first), *_by_turns(newest)]:
            if self._requests >= _REUSE_REQUESTS:
                return
            segment = self._filtered(entry)
            if segment is not None:
                yield segment

    def _filtered(self, entry: SegmentEntry) -> Segment | None:
        """The open segment, with its filter."""
        segment = self.open(entry)
        if segment is not None and not segment.is_filtered:
            self._requests += entry.name not in self._own
            segment.load_filter()
        return segment

    def _is_other(self, segment: Segment) -> bool:
        return segment.name not in self._named and self._opened[segment.name] is not None

    def _listed_named(self) -> list[SegmentEntry]:
        return self.named

    def _listed_folds(self) -> list[SegmentEntry]:
        with self._lock:
            if self._folds is None:
                self._requests += 1
                self._folds = self._list(names.fold_segments(self._source.keys.scope))
            return self._folds

    def _listed_now(self) -> list[SegmentEntry]:
        return self._list(names.segments(self._source.keys.scope))

    def _list(self, folder: str, limit: int | None = None) -> list[SegmentEntry]:
        return [SegmentEntry(entry.name, entry.size_bytes) for entry in self._source.store.list(folder, limit=limit)]

    def _lose(self, entry: SegmentEntry) -> None:
        self._opened[entry.name] = None
        self._named.pop(entry.name, None)
        self._own.pop(entry.name, None)


def _largest_first(entry: SegmentEntry) -> tuple[int, str]:
    return -entry.size_bytes, entry.name


def _by_turns(newest_first: list[SegmentEntry]) -> list[SegmentEntry]:
    """The largest, where most is found, and the newest, which nobody has merged."""
    pairs = zip(sorted(newest_first, key=_largest_first), newest_first, strict=True)
    return list(dict.fromkeys(chain.from_iterable(pairs)))
