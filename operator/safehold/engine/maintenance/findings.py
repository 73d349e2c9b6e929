"""One look at a key domain: all that the collector decides by."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.engine import names
from safehold.engine.condemned import read_condemned, refuse_expired
from safehold.engine.index.segments import PackRow
from safehold.engine.maintenance.inventory import Inventory, StoredPack, mentioned, stored_packs
from safehold.engine.maintenance.marking import Marks, mark
from safehold.engine.maintenance.progress import Advance
from safehold.engine.maintenance.usage import Usage, tally
from safehold.engine.repository import Domain
from safehold.engine.store.base import UnfinishedUpload
from safehold.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Findings:
    """One look at a domain: all that decisions are made of, none of it changed by them."""

    domain: Domain
    started: datetime
    grace: timedelta
    marks: Marks
    inventory: Inventory
    usage: Usage
    packs: dict[bytes, StoredPack]

    def is_settled(self, pack: bytes) -> bool:
        """Whether no run can be under way that has written the pack and has not committed yet."""
        return self.started - self.packs[pack].modified >= self.grace

    def is_free(self, pack: PackRow) -> bool:
        """Whether the pack may be condemned: no run is writing it, and no lock keeps it."""
        return self.is_settled(pack.id) and pack.lock_until <= self.started.timestamp()

    def dead(self) -> frozenset[bytes]:
        """The packs in the index that no point needs: settled ones, those that are on a list, those that are gone."""
        condemned = self.inventory.condemned.packs
        return frozenset(
            pack.id
            for pack in self.inventory.named_packs()
            if pack.id not in self.usage.live_chunks
            and (pack.id in condemned or pack.id not in self.packs or self.is_free(pack))
        )

    def leftovers(self) -> list[bytes]:
        """Settled packs that no segment names, and no list: of runs that were killed."""
        known = mentioned(self.inventory.segments) | self.inventory.condemned.packs
        return [pack for pack in self.packs if pack not in known and self.is_settled(pack)]

    def abandoned_uploads(self) -> list[UnfinishedUpload]:
        """Uploads that no run can be working on any more."""
        scope = self.domain.keys.scope
        return [
            upload
            for folder in (names.packs(scope), names.segments(scope))
            for upload in self.domain.store.unfinished_uploads(folder)
            if self.started - upload.started >= self.grace
        ]

    def size_of(self, packs: Collection[bytes]) -> int:
        """Bytes that these packs have in the store."""
        return sum(self.packs[pack].size_bytes for pack in packs if pack in self.packs)


@contextmanager
def examine(domain: Domain, *, grace: timedelta, advance: Advance) -> Iterator[Findings]:
    """Mark, read the index, compare. IntegrityError where a point cannot be read: it may need everything."""
    started = domain.store.time()
    condemned = read_condemned(domain.store, domain.keys)
    try:
        with mark(domain, advance=advance) as marks, Inventory(domain, condemned) as inventory:
            inventory.load(advance)
            usage = tally(marks, inventory, advance)
            _refuse_missing(usage)
            yield Findings(domain, started, grace, marks, inventory, usage, stored_packs(domain))
    except IntegrityError:
        # Whoever looks for so long that another collector sweeps meanwhile misses what is gone, and nothing is damaged.
        refuse_expired(started, domain.store.time())
        raise


def _refuse_missing(usage: Usage) -> None:
    if usage.missing:
        raise IntegrityError(
            f"The index does not know {len(usage.missing)} chunks that restore points need; nothing was changed",
            found=usage.missing[0].hex(),
            remedy="run 'safehold repo check', and forget the points that are damaged",
        )
