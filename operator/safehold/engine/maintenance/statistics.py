"""What a key domain holds, how much of it the points need, and what deduplication and compression save."""

from dataclasses import dataclass

from safehold.engine.condemned import read_condemned
from safehold.engine.maintenance.inventory import Inventory, stored_packs
from safehold.engine.maintenance.marking import mark
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.usage import tally
from safehold.engine.names import SCOPED_FOLDERS
from safehold.engine.repository import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts, and bytes. `live` is what points need, each chunk once; the bytes of packs are shared out by chunks."""

    domain: str
    points: int
    vms: int
    logical_bytes: int
    """Of all volumes of all points, as if each were whole."""
    live_bytes: int
    """Of the different chunks and nodes that the points need, before compression."""
    live_stored_bytes: int
    dead_stored_bytes: int
    packs: int
    objects: int
    stored_bytes: int
    """Of all objects of the domain."""

    @property
    def deduplication(self) -> float | None:
        """How many times the logical bytes are what is kept of them before compression, zeros included."""
        return round(self.logical_bytes / self.live_bytes, 2) if self.live_bytes else None

    @property
    def compression(self) -> float | None:
        """How many times what is kept is larger before compression."""
        return round(self.live_bytes / self.live_stored_bytes, 2) if self.live_stored_bytes else None


def statistics(domain: Domain, advance: Advance = silent) -> Statistics:
    """Count everything: reads all manifests, maps and index segments, and lists all objects."""
    condemned = read_condemned(domain.store, domain.keys)
    with mark(domain, advance=advance) as marks, Inventory(domain, condemned) as inventory:
        inventory.load(advance)
        usage = tally(marks, inventory, advance)
        packs = stored_packs(domain)
        chunks = {pack.id: pack.chunks for pack in inventory.packs}
        live = sum(packs[pack].size_bytes * count // chunks[pack] for pack, count in usage.live_chunks.items())
        entries = [entry for folder in SCOPED_FOLDERS for entry in domain.store.list(f"{folder}/{domain.keys.scope}/")]
        return Statistics(
            domain=domain.name,
            points=marks.points,
            vms=len(marks.newest),
            logical_bytes=marks.logical_bytes,
            live_bytes=usage.live_length,
            live_stored_bytes=live,
            dead_stored_bytes=sum(pack.size_bytes for pack in packs.values()) - live,
            packs=len(packs),
            objects=len(entries),
            stored_bytes=sum(entry.size_bytes for entry in entries),
        )
