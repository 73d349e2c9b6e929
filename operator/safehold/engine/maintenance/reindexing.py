"""Making the index again from the packs: each ends with a table of what it holds."""

from dataclasses import dataclass, replace

from safehold.engine import names
from safehold.engine.condemned import read_condemned, refuse_expired
from safehold.engine.geometry import MIB
from safehold.engine.index.block_cache import BlockCache
from safehold.engine.index.filters import FilterFile
from safehold.engine.index.folding import open_segments
from safehold.engine.index.lookup import Index
from safehold.engine.index.segment_reading import Segment, SegmentSource
from safehold.engine.index.segments import SegmentEntry
from safehold.engine.maintenance.hiding import HidingStore
from safehold.engine.maintenance.inventory import mentioned, stored_packs
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.packing.contents import read_contents
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError, KeyMaterialError, ObjectMissingError

_READ_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was done: how many packs are named again, and which damaged segments were removed for it."""

    packs: int
    removed_segments: list[str]


def without_damaged_segments(domain: Domain) -> tuple[Domain, dict[str, str]]:
    """The domain as whoever reads it who does not see the segments that cannot be read to their end, and why not."""
    source = SegmentSource(domain.store, domain.keys, domain.geometry, FilterFile(), BlockCache(0))
    damaged = {}
    for entry in domain.store.list(names.segments(domain.keys.scope)):
        try:
            for _ in Segment.open(source, SegmentEntry(entry.name, entry.size_bytes)).rows(_READ_BYTES):
                pass
        except (IntegrityError, KeyMaterialError) as problem:
            damaged[entry.name] = str(problem)
        except ObjectMissingError:  # folded, and deleted since it was listed
            continue
    hiding = HidingStore(domain.store, damaged)
    return replace(domain, store=hiding, index=Index(hiding, domain.keys, domain.geometry)), damaged


def reindex(domain: Domain, advance: Advance = silent) -> Reindexed:
    """Name again what no readable segment names, then remove the segments that cannot be read.

    Call it only where a check has found that the index lacks chunks: a collector stops at that, so that it does not
    delete at the same time what is named here. What no point needs of it is pruned as ever.
    """
    started = domain.store.time()
    readable, damaged = without_damaged_segments(domain)
    condemned = read_condemned(domain.store, domain.keys)
    packs = stored_packs(readable)
    lost = sorted(packs.keys() - mentioned(open_segments(readable)) - condemned.packs)
    index = readable.index
    index.guard(lambda: refuse_expired(started, domain.store.time()))
    named = 0
    for number, pack_id in enumerate(lost):
        try:
            index.add([read_contents(domain.store, domain.keys, pack_id, packs[pack_id].size_bytes)])
            named += 1
        except (IntegrityError, KeyMaterialError):  # a check has named it, or --read-data will
            continue
        advance("Reading tables of contents", number + 1, len(lost))
    index.flush()
    for name in damaged:
        domain.store.delete(name)
    return Reindexed(named, sorted(damaged))
