"""Checking: is everything there that the restore points need, and what is there that they do not need."""

import random
from dataclasses import dataclass, field
from datetime import timedelta

from safehold.engine import names
from safehold.engine.condemned import GRACE, read_condemned
from safehold.engine.maintenance.audit import audit_packs
from safehold.engine.maintenance.inventory import Inventory, StoredPack, mentioned, stored_packs
from safehold.engine.maintenance.losses import Loss, losses
from safehold.engine.maintenance.manifests import Unreadable, damaged_machines
from safehold.engine.maintenance.marking import Marks, mark
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.reindexing import without_damaged_segments
from safehold.engine.names import PointName
from safehold.engine.repository import Domain
from safehold.errors import IntegrityError

_PARTITIONS = 256


@dataclass(slots=True, kw_only=True)
class Checked:
    """What a check of one key domain found."""

    domain: str
    points: int = 0
    chunks: int = 0
    packs: int = 0
    packs_read: int = 0
    damages: list[str] = field(default_factory=list)
    """A sentence for each object that is not what was written, or is not there."""
    index_damaged: bool = False
    """Whether a segment cannot be read, or none names a chunk that is needed: `reindex` mends that."""
    unreadable_points: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    """What of the points is hit; empty where no point needs what is damaged."""
    leftover_packs: int = 0
    """Packs that neither a segment nor a list names: of runs that were killed or are under way. No damage."""
    condemned_packs: int = 0
    abandoned_uploads: int = 0


def check(domain: Domain, *, read_percent: float = 0, grace: timedelta = GRACE, advance: Advance = silent) -> Checked:
    """Look whether all that the points of a domain need is there, and open what `read_percent` of the packs hold.

    Reads every point, map and index segment, and the listing of the packs. Damage is collected, not raised.
    """
    return _Check(domain, advance).run(read_percent, grace)


class _Check:
    """One check: what is damaged, and which chunks and nodes are lost by it."""

    def __init__(self, domain: Domain, advance: Advance) -> None:
        self._domain = domain
        self._advance = advance
        self._found = Checked(domain=domain.name)
        self._lost: set[bytes] = set()

    def run(self, read_percent: float, grace: timedelta) -> Checked:
        store, keys = self._domain.store, self._domain.keys
        condemned = read_condemned(store, keys)
        domain, damaged = without_damaged_segments(self._domain)
        self._found.damages += damaged.values()
        self._found.index_damaged = bool(damaged)
        marked = mark(domain, advance=self._advance, on_loss=self._lose, on_unreadable=self._miss_point)
        with marked as marks, Inventory(domain, condemned) as inventory:
            inventory.load(self._advance)
            packs = stored_packs(domain)
            self._found.points, self._found.packs = marks.points, len(packs)
            self._compare(marks, inventory, self._wrong_packs(inventory, packs))
            self._read(packs, read_percent)
            for problem in damaged_machines(domain.points):
                self._report(str(problem))
            self._found.leftover_packs = len(packs.keys() - mentioned(inventory.segments) - condemned.packs)
            self._found.condemned_packs = len(packs.keys() & condemned.packs)
        uploads = store.unfinished_uploads(names.packs(keys.scope))
        self._found.abandoned_uploads = sum(store.time() - upload.started >= grace for upload in uploads)
        if self._lost:
            self._found.losses = list(losses(domain, self._lost))
        return self._found

    def _wrong_packs(self, inventory: Inventory, packs: dict[bytes, StoredPack]) -> set[bytes]:
        """The packs that segments name and that are not there, or not as long as they were written."""
        wrong = set()
        for pack in {pack.id: pack for segment in inventory.segments for pack in segment.packs}.values():
            stored = packs.get(pack.id)
            if stored is None or stored.size_bytes != pack.length:
                wrong.add(pack.id)
                found = f"{stored.size_bytes} bytes" if stored else "no such object"
                problem = IntegrityError(
                    f"{names.pack(self._domain.keys.scope, pack.id)} is missing or truncated",
                    expected=f"{pack.length} bytes",
                    found=found,
                )
                self._found.damages.append(str(problem))
        return wrong

    def _compare(self, marks: Marks, inventory: Inventory, wrong: set[bytes]) -> None:
        """Find the live ids that no segment places in a pack that is as it should be."""
        unplaced = 0
        for partition in range(_PARTITIONS):
            live = set(marks.live[partition])
            self._found.chunks += len(live)
            for chunk_id, copies in inventory.copies(partition):
                if chunk_id in live and any(inventory.packs[copy.pack].id not in wrong for copy in copies):
                    live.remove(chunk_id)
                elif chunk_id in live:
                    live.remove(chunk_id)
                    self._lost.add(chunk_id)
            self._found.index_damaged |= bool(live)
            unplaced += len(live - self._lost)
            self._lost |= live
            self._advance("Comparing", partition + 1, _PARTITIONS)
        if unplaced:
            self._found.damages.append(f"No index segment names {unplaced} chunks that restore points need")

    def _read(self, packs: dict[bytes, StoredPack], percent: float) -> None:
        chosen = sorted(packs)
        if percent < 100:
            chosen = sorted(random.sample(chosen, -(-len(chosen) * int(percent * 100) // 10_000)))
        for number, audited in enumerate(audit_packs(self._domain, chosen, packs)):
            for problem in audited.problems:
                self._report(problem)
            self._lost |= audited.lost
            self._advance("Reading packs", number + 1, len(chosen))
        self._found.packs_read = len(chosen)

    def _lose(self, chunk_id: bytes, problem: IntegrityError) -> None:
        self._lost.add(chunk_id)
        self._report(str(problem))

    def _miss_point(self, name: PointName, problem: Unreadable) -> None:
        self._found.unreadable_points.append(name.id)
        self._found.damages.append(str(problem))

    def _report(self, problem: str) -> None:
        """Note a problem; several chunks of one frame, or two ways to come by it, make one."""
        if problem not in self._found.damages:
            self._found.damages.append(problem)
