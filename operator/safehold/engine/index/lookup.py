"""The index of a key domain: which chunks exist and where, with bounded memory (docs/format.md, section 7)."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping

from safehold.engine import names
from safehold.engine.geometry import MIB, Geometry
from safehold.engine.index.block_cache import BlockCache
from safehold.engine.index.catalogue import SegmentCatalogue
from safehold.engine.index.filters import FilterFile
from safehold.engine.index.merging import RowSource, WaitingRows, merge_segments, worth_merging
from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segments import Location, PackRow, SegmentEntry
from safehold.engine.index.vicinity import LARGE_ENTRIES, Vicinity
from safehold.engine.keys.rings import KeyRing
from safehold.engine.packing.contents import FinishedPack
from safehold.engine.store.base import ObjectStore
from safehold.errors import ExpiredRunError, ObjectMissingError

_CACHED_BLOCK_BYTES = 24 * MIB
MOST_SEGMENTS = 4
"""Run segments that a point names, so that the next run opens few. More are merged before the point is committed."""


class Index:
    """Finds chunks in the segments of a domain and in what this run has packed. Safe to ask from several threads.

    It opens segments when it is asked first: those that it was told to follow (a point's own), then the folds, then
    others. A run that finds nothing new opens its parent's segments only.
    """

    def __init__(self, store: ObjectStore, keys: KeyRing, geometry: Geometry) -> None:
        self._geometry = geometry
        self._source = SegmentSource(store, keys, geometry, FilterFile(), BlockCache(_CACHED_BLOCK_BYTES))
        self._segments = SegmentCatalogue(self._source)
        self._run_id = ""
        self._vicinities: dict[str, Vicinity] = {}
        self._claiming = threading.Lock()
        self._in_packs: set[bytes] = set()
        self._waiting: list[FinishedPack] = []
        self._reuse_lock = threading.Lock()
        self._reused_packs: dict[bytes, PackRow] = {}
        self._lock_until = 0
        self._avoided: frozenset[bytes] = frozenset()
        self._refuse_expired: Callable[[], None] = lambda: None

    def guard(self, refuse_expired: Callable[[], None]) -> None:
        """Write segments only as long as this does not raise: nobody builds on what a run writes that is too old."""
        self._refuse_expired = refuse_expired

    def begin(self, run_id: str) -> None:
        """Write for this run, and look first at what its earlier attempts have written, however much others wrote."""
        self._run_id = run_id
        self._segments.begin(run_id)

    def follow(self, segments: Mapping[str, int]) -> None:
        """Look first in the run segments that a manifest names: with the folds, they list all chunks of its point."""
        folder = names.run_segments(self._source.keys.scope)
        self._segments.follow(SegmentEntry(folder + word, size_bytes) for word, size_bytes in segments.items())

    def reuse_only(self, *, locked_until: int = 0, avoid: Collection[bytes] = ()) -> None:
        """Reuse chunks only of packs that are locked until then (Unix time), and of none in `avoid`."""
        self._lock_until = locked_until
        self._avoided = frozenset(avoid)

    @property
    def reused_packs(self) -> list[PackRow]:
        """The packs whose chunks `known` and `claim` have found: to be looked at again before the commit."""
        with self._reuse_lock:
            return list(self._reused_packs.values())

    def claim(self, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that the caller has to pack: nobody has them, and nobody else in this run claimed them."""
        wanted = set(chunk_ids)
        return self.claim_new(wanted - self.known(wanted))

    def claim_new(self, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that nobody else in this run claimed: for what the repository will hardly have already."""
        wanted = set(chunk_ids)
        with self._claiming:
            wanted -= self._in_packs
            self._in_packs |= wanted
        return wanted

    def release(self, chunk_ids: Iterable[bytes]) -> None:
        """Take claims back: whoever claimed these ids has not packed them."""
        with self._claiming:
            self._in_packs.difference_update(chunk_ids)

    def known(self, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that need not be packed again, as far as a bounded number of requests can tell."""
        wanted = set(chunk_ids)
        known = wanted & self._in_packs
        missing = sorted(wanted - known)
        if missing:
            for segment in self._segments.for_reuse():
                found = self._reusable(segment, self._find(segment, missing, filtered=True))
                if found:
                    known |= found
                    missing = [chunk_id for chunk_id in missing if chunk_id not in found]
        return known

    def locate(self, chunk_ids: Collection[bytes]) -> dict[bytes, Location]:
        """Where the ids are, wherever that is: in named segments, in the folds, at last in any segment there is."""
        found: dict[bytes, Location] = {}
        missing = sorted(set(chunk_ids))
        for segment in self._segments.for_locating() if missing else ():
            # Where more ids are wanted than there are blocks, the filter would not spare reading any.
            is_worth_it = segment.is_filtered and len(missing) < segment.layout.blocks
            here = self._find(segment, missing, filtered=is_worth_it)
            if here:
                found |= here
                missing = [chunk_id for chunk_id in missing if chunk_id not in here]
                if not missing:
                    break
        return found

    def add(self, packs: list[FinishedPack]) -> None:
        """Take packs that are in the store; writes a segment when enough have come."""
        for pack in packs:
            self._waiting.append(pack)
            entries = sum(len(waiting.chunks) for waiting in self._waiting)
            covered = sum(waiting.length for waiting in self._waiting)
            if entries >= self._geometry.segment_entries or covered >= self._geometry.segment_pack_bytes:
                self.flush()

    def flush(self) -> None:
        """Write a segment for the packs that no segment names yet."""
        if self._waiting:
            self._write([])
            # While a run goes on, so that its own chunks are found in few segments, however long it is.
            self._write(worth_merging(self._segments.own, 2 * MOST_SEGMENTS))

    def segments(self) -> dict[str, int]:
        """What a manifest must name: the run's segments, its parent's that still exist, and those it reused from.

        Writes what no segment names yet, merged with the smallest of the others where these are more than a few. What
        was merged stays for others to find.
        """
        coming = [SegmentEntry("", 0)] if self._waiting else []
        self._write([entry for entry in worth_merging([*self._segments.named, *coming], MOST_SEGMENTS) if entry.name])
        return {entry.name.rpartition("/")[2]: entry.size_bytes for entry in self._segments.named}

    def _find(self, segment: Segment, chunk_ids: list[bytes], *, filtered: bool) -> dict[bytes, Location]:
        try:
            if segment.entries < LARGE_ENTRIES:
                return segment.find(chunk_ids, filtered=filtered)
            vicinity = self._vicinities.setdefault(segment.name, Vicinity(self._source, segment))
            return vicinity.find(chunk_ids, filtered=filtered)
        except ObjectMissingError:  # folded, and its grace is over: what it listed is found in the fold
            self._segments.lose(segment)
            return {}

    def _reusable(self, segment: Segment, found: dict[bytes, Location]) -> set[bytes]:
        reusable = {
            chunk_id: place.pack
            for chunk_id, place in found.items()
            if place.pack.id not in self._avoided and self._is_locked(place.pack)
        }
        if reusable:
            with self._reuse_lock:
                if not self._segments.is_own(segment):
                    self._segments.reuse(segment)
                # Also from our own segments, into which those of others are merged.
                self._reused_packs.update((pack.id, pack) for pack in reusable.values())
        return set(reusable)

    def _is_locked(self, pack: PackRow) -> bool:
        return not self._lock_until or pack.lock_until >= self._lock_until

    def _write(self, merged: list[SegmentEntry]) -> None:
        """Write one segment of the packs that wait and of what these segments list."""
        oldest_first = sorted(merged, key=lambda entry: entry.name, reverse=True)
        opened = [segment for entry in oldest_first if (segment := self._segments.open(entry))]
        if not self._waiting and len(opened) < 2:
            return
        sources: list[RowSource] = [*opened, WaitingRows(self._waiting)]
        self._refuse_expired()
        entry = merge_segments(self._source, sources, self._new_name(), gone=self._avoided)
        try:
            self._refuse_expired()
        except ExpiredRunError:
            self._source.store.delete(entry.name)
            raise
        self._segments.replace([segment.entry for segment in opened], entry)
        with self._claiming:
            self._in_packs.difference_update(chunk.id for pack in self._waiting for chunk in pack.chunks)
        self._waiting.clear()

    def _new_name(self) -> str:
        return names.new_segment(names.run_segments(self._source.keys.scope), self._source.store.time(), self._run_id)
