"""Folding: maintenance merges the segments of many runs into few large ones (docs/format.md, section 7)."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from safehold.engine import names
from safehold.engine.index.block_cache import BlockCache
from safehold.engine.index.filters import FilterFile
from safehold.engine.index.merging import merge_segments, worth_merging
from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segments import SegmentEntry
from safehold.engine.repository import Domain
from safehold.errors import ObjectMissingError

MOST_SEGMENTS = 4
"""Of a domain, after folding: a run that has new chunks opens about so many."""


@dataclass(frozen=True, slots=True)
class Fold:
    """What folding did: the segment that it wrote, if anything was left, and what may be condemned now.

    `replaced` are the segments that the new one stands for, `unnamed` the packs that only these named.
    """

    written: SegmentEntry | None
    replaced: list[str]
    unnamed: frozenset[bytes]


def open_segments(domain: Domain) -> list[Segment]:
    """All segments of the domain, folds first, then the runs' from the oldest on. One request or two for each."""
    scope = domain.keys.scope
    source = SegmentSource(domain.store, domain.keys, domain.geometry, FilterFile(), BlockCache(0))
    opened = []
    for folder in (names.fold_segments(scope), names.run_segments(scope)):
        for entry in reversed(list(domain.store.list(folder))):
            with suppress(ObjectMissingError):  # another collector is at work, and this one's time was over
                opened.append(Segment.open(source, SegmentEntry(entry.name, entry.size_bytes)))
    return opened


def fold(
    domain: Domain,
    *,
    gone: Collection[bytes] = (),
    condemned: Collection[str] = (),
    also: Collection[str] = (),
    everything: bool = False,
) -> Fold | None:
    """Merge the domain's small segments into a fold, and those in `also`, or with `everything` all; None if none is.

    Chunks that several packs hold get one place. Packs that are `gone` are named no more: every segment that names one
    is merged and replaced, and must be condemned no later than the packs. Segments that are `condemned` are left alone.
    The fold is written before anyone hears of it; a fold that is cut off changes nothing.
    """
    segments = [segment for segment in open_segments(domain) if segment.name not in condemned]
    gone_packs = frozenset(gone)
    small = {entry.name for entry in worth_merging([segment.entry for segment in segments], MOST_SEGMENTS)}
    chosen = [
        segment
        for segment in segments
        if everything
        or segment.name in small
        or segment.name in also
        or any(pack.id in gone_packs for pack in segment.packs)
    ]
    if not chosen or (len(chosen) == 1 and not gone_packs):
        return None
    written = _merged(domain, chosen, gone_packs)
    staying = [segment for segment in segments if segment not in chosen] + ([written] if written else [])
    return Fold(
        written.entry if written else None,
        [segment.name for segment in chosen],
        _packs_of(chosen) - _packs_of(staying),
    )


def _merged(domain: Domain, chosen: list[Segment], gone: frozenset[bytes]) -> Segment | None:
    if _packs_of(chosen) <= gone:
        return None
    name = names.new_segment(names.fold_segments(domain.keys.scope), domain.store.time())
    source = SegmentSource(domain.store, domain.keys, domain.geometry, FilterFile(), BlockCache(0))
    return Segment.open(source, merge_segments(source, chosen, name, gone=gone))


def _packs_of(segments: list[Segment]) -> frozenset[bytes]:
    return frozenset(pack.id for segment in segments for pack in segment.packs)
