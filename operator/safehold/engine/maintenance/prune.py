"""Pruning in two phases: sweep what was condemned long ago, then condemn what no restore point needs any more."""

from dataclasses import dataclass
from datetime import timedelta

from safehold.engine import names
from safehold.engine.condemned import GRACE
from safehold.engine.maintenance.findings import Findings, examine
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.retirement import retire
from safehold.engine.maintenance.sweeping import delete_all, plan_sweep, sweep
from safehold.engine.repository import Domain


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


def prune(domain: Domain, *, dry_run: bool = False, grace: timedelta = GRACE, advance: Advance = silent) -> Pruned:
    """Free what no point needs. What is condemned now is deleted by a later prune, after `grace` by the store's clock.

    `grace` may be shorter only where it is certain that no backup is under way. Raises IntegrityError, and deletes
    nothing, where a point cannot be read: it may need everything.
    """
    with examine(domain, grace=grace, advance=advance) as findings:
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
