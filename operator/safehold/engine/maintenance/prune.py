"""Pruning in two phases: sweep what was condemned long ago, then condemn what no restore point needs any more."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.engine import names
from safehold.engine.condemned import GRACE, read_condemned
from safehold.engine.maintenance.inventory import Inventory, StoredPack, mentioned, stored_packs
from safehold.engine.maintenance.marking import Marks, mark
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.retirement import retire
from safehold.engine.maintenance.sweeping import delete_all, plan_sweep, sweep
from safehold.engine.maintenance.usage import Usage, tally
from safehold.engine.repository import Domain
from safehold.engine.store.base import UnfinishedUpload
from safehold.errors import IntegrityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune did, or would do."""

    points: int
    swept_segments: int
    swept_packs: int
    swept_bytes: int
    leftover_packs: int
    leftover_bytes: int
    aborted_uploads: int
    condemned_packs: int
    condemned_bytes: int
    waiting_packs: int
    """Condemned earlier, not long enough ago."""


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

    def dead(self) -> frozenset[bytes]:
        """The packs in the index that no point needs: settled ones, those that are on a list, those that are gone."""
        condemned = self.inventory.condemned.packs
        return frozenset(
            pack
            for pack in mentioned(self.inventory.surviving())
            if pack not in self.usage.live_chunks
            and (pack in condemned or pack not in self.packs or self.is_settled(pack))
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


def prune(domain: Domain, *, dry_run: bool = False, grace: timedelta = GRACE, advance: Advance = silent) -> Pruned:
    """Free what no point needs. What is condemned now is deleted by a later prune, after `grace` by the store's clock.

    `grace` may be shorter only where it is certain that no backup is under way. Raises IntegrityError, and deletes
    nothing, where a point cannot be read: it may need everything.
    """
    started = domain.store.time()
    condemned = read_condemned(domain.store, domain.keys)
    with mark(domain, advance=advance) as marks, Inventory(domain, condemned) as inventory:
        inventory.load(advance)
        usage = tally(marks, inventory, advance)
        if usage.missing:
            raise IntegrityError(
                f"The index does not know {len(usage.missing)} chunks that restore points need; nothing was deleted",
                found=usage.missing[0].hex(),
                remedy="run 'safehold repo check', and forget the points that are damaged",
            )
        findings = Findings(domain, started, grace, marks, inventory, usage, stored_packs(domain))
        return _prune(findings, dry_run=dry_run)


def _prune(findings: Findings, *, dry_run: bool) -> Pruned:
    domain, inventory = findings.domain, findings.inventory
    swept = plan_sweep(inventory, findings.usage, findings.packs, findings.started, findings.grace)
    leftovers, uploads, dead = findings.leftovers(), findings.abandoned_uploads(), findings.dead()
    if not dry_run:
        sweep(domain, swept)
        delete_all(domain.store.delete, (names.pack(domain.keys.scope, pack) for pack in leftovers))
        for upload in uploads:
            domain.store.abort_upload(upload)
        if dead:
            marked = findings.marks.newest.values()
            retire(domain, inventory.condemned, dead, marked=marked, started=findings.started)
    listed = inventory.condemned.packs
    return Pruned(
        points=findings.marks.points,
        swept_segments=len(swept.segments),
        swept_packs=len(swept.packs),
        swept_bytes=findings.size_of(swept.packs),
        leftover_packs=len(leftovers),
        leftover_bytes=findings.size_of(leftovers),
        aborted_uploads=len(uploads),
        condemned_packs=len(dead - listed),
        condemned_bytes=findings.size_of(dead - listed),
        waiting_packs=len((listed & findings.packs.keys()) - set(swept.packs)),
    )
