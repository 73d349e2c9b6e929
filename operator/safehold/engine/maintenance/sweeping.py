"""Sweeping: deleting what was condemned long enough ago and is still not needed (docs/format.md, section 9).

Segments go first, then the packs that no segment names any more, at last the list. So no segment ever names a pack that
is gone, whenever a collector is killed, and however many sweep at the same time.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.engine import names
from safehold.engine.condemned import Sentence
from safehold.engine.maintenance.inventory import Inventory, StoredPack, mentioned
from safehold.engine.maintenance.usage import Usage
from safehold.engine.repository import Domain

_DELETERS = 8


@dataclass(frozen=True, slots=True)
class Sweep:
    """What may be deleted now, in this order."""

    segments: tuple[str, ...]
    packs: tuple[bytes, ...]
    lists: tuple[str, ...]


def plan_sweep(
    inventory: Inventory, usage: Usage, packs: dict[bytes, StoredPack], now: datetime, grace: timedelta
) -> Sweep:
    """What the lists name that are older than `grace`, without what a point still needs.

    Nothing can come to need it later: who began before the list was published has committed by now, and who began after
    it has read it.
    """
    ripe = [sentence for sentence in inventory.condemned.sentences if now - sentence.since >= grace]
    present = {segment.name for segment in inventory.segments}
    segments = {name for each in ripe for name in each.segments if name in present} - usage.needed_segments
    stay = mentioned([segment for segment in inventory.segments if segment.name not in segments])
    doomed = {pack for each in ripe for pack in each.packs if pack in packs and pack not in stay}
    done = [each.name for each in ripe if _is_done(each, present - segments, packs.keys() - doomed)]
    return Sweep(tuple(sorted(segments)), tuple(sorted(doomed)), tuple(done))


def _is_done(sentence: Sentence, segments: set[str], packs: set[bytes]) -> bool:
    return not (sentence.segments & segments or sentence.packs & packs)


def sweep(domain: Domain, plan: Sweep) -> None:
    """Delete what was planned."""
    scope = domain.keys.scope
    delete_all(domain.store.delete, plan.segments)
    delete_all(domain.store.delete, (names.pack(scope, pack) for pack in plan.packs))
    delete_all(domain.store.delete, plan.lists)


def delete_all(delete: Callable[[str], None], doomed: Iterable[str]) -> None:
    """Delete the objects side by side, and come back when all are gone."""
    with ThreadPoolExecutor(_DELETERS, thread_name_prefix="sweep") as deleters:
        for _ in deleters.map(delete, doomed):
            pass
