"""Compacting: chunks of packs that are mostly dead, or small, move into new packs, and the old ones are condemned."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from safehold.engine.condemned import GRACE
from safehold.engine.index.segments import PackRow
from safehold.engine.maintenance.findings import Findings, examine
from safehold.engine.maintenance.moving import move_chunks
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.retirement import retire
from safehold.engine.repository import Domain

SPARSE = 0.6
"""A pack of which less is needed is rewritten; of a fuller one, more bytes would be moved than it is worth."""
_SMALL = 0.5
"""Of a full pack. Smaller ones are joined, so that old increments do not stay thousands of objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What compacting did, or would do."""

    sparse_packs: int
    small_packs: int
    rewritten_bytes: int
    new_bytes: int
    condemned_packs: int
    folded_segments: int


def compact(domain: Domain, *, dry_run: bool = False, grace: timedelta = GRACE, advance: Advance = silent) -> Compacted:
    """Rewrite sparse and small packs, fold small index segments, and condemn what that replaces.

    As `prune`, it deletes nothing at once, and raises IntegrityError where a point cannot be read. `grace` may be
    shorter only where it is certain that no backup is under way.
    """
    with examine(domain, grace=grace, advance=advance) as findings:
        sparse, small = sparse_packs(findings), small_packs(findings)
        victims = sparse | small
        new_bytes, condemned, folded = 0, len(victims), 0
        if not dry_run:
            moved = move_chunks(findings, victims, advance)
            new_bytes = moved.stored_bytes
            fold = retire(
                domain,
                findings.inventory.condemned,
                findings.dead() | victims,
                marked=findings.marks.newest.values(),
                started=findings.started,
                also=moved.segments,
            )
            condemned, folded = (len(fold.unnamed), len(fold.replaced)) if fold else (0, 0)
        return Compacted(
            sparse_packs=len(sparse),
            small_packs=len(small),
            rewritten_bytes=findings.size_of(victims),
            new_bytes=new_bytes,
            condemned_packs=condemned,
            folded_segments=folded,
        )


def sparse_packs(findings: Findings) -> frozenset[bytes]:
    """Packs of which points need something, but less than SPARSE of the chunks."""
    needed = findings.usage.live_chunks
    return _ids(pack for pack in _movable(findings) if needed[pack.id] < SPARSE * pack.chunks)


def small_packs(findings: Findings) -> frozenset[bytes]:
    """Small packs that are not sparse, where there are several to be joined."""
    limit = _SMALL * findings.domain.geometry.pack_bytes
    sparse = sparse_packs(findings)
    small = _ids(pack for pack in _movable(findings) if pack.length < limit and pack.id not in sparse)
    return small if len(small) > 1 else frozenset()


def _movable(findings: Findings) -> list[PackRow]:
    condemned = findings.inventory.condemned.packs
    return [
        pack
        for pack in findings.inventory.named_packs()
        if pack.id in findings.usage.live_chunks
        and pack.id in findings.packs
        and pack.id not in condemned
        and findings.is_free(pack)
    ]


def _ids(packs: Iterable[PackRow]) -> frozenset[bytes]:
    return frozenset(pack.id for pack in packs)
