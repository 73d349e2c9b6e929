"""Taking packs out of the index: their segments are folded into one without them, then both are condemned."""

from collections.abc import Collection, Iterable
from datetime import datetime

from safehold.engine.condemned import Condemned, CondemnedList, condemn, refuse_expired
from safehold.engine.index.folding import Fold, fold
from safehold.engine.repository import Domain
from safehold.errors import ExpiredRunError


def retire(
    domain: Domain,
    condemned: Condemned,
    gone: Collection[bytes],
    *,
    marked: Iterable[str],
    started: datetime,
    also: Collection[str] = (),
) -> Fold | None:
    """Name the packs `gone` in no segment any more, and condemn them with the segments that did; None if none did.

    Small segments are folded on the way, and those of the names in `also`. The fold comes first, then the list: a crash
    in between leaves a fold that says again what others say. A collector that took too long stops, since its fold could
    name packs that another has swept meanwhile.
    """
    refuse_expired(started, domain.store.time())
    folded = fold(domain, gone=gone, condemned=condemned.segments, also=also)
    if folded is None:
        return None
    try:
        refuse_expired(started, domain.store.time())
    except ExpiredRunError:
        if folded.written:
            domain.store.delete(folded.written.name)
        raise
    condemn(
        domain.store,
        domain.keys,
        CondemnedList(
            packs=sorted(pack.hex() for pack in folded.unnamed - condemned.packs),
            segments=sorted(folded.replaced),
            marked=sorted(marked),
        ),
    )
    return folded
