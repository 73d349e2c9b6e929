"""Which of the index's places the restore points need: the marks joined with the inventory, partition by partition."""

from dataclasses import dataclass, field

from safehold.engine.maintenance.inventory import Inventory
from safehold.engine.maintenance.marking import Marks
from safehold.engine.maintenance.progress import Advance, silent

_PARTITIONS = 256


@dataclass(slots=True)
class Usage:
    """What is needed of each pack and segment. A chunk with several places needs the preferred one only."""

    live_chunks: dict[bytes, int] = field(default_factory=dict)
    """How many chunks and nodes are needed of each pack. A pack that is not in here is not needed."""
    live_length: int = 0
    """Bytes of all live chunks and nodes, before compression, each counted once."""
    needed_segments: set[str] = field(default_factory=set)
    """Condemned segments without which some live chunk would not be found."""
    missing: list[bytes] = field(default_factory=list)
    """Live ids that no segment lists."""


def tally(marks: Marks, inventory: Inventory, advance: Advance = silent) -> Usage:
    """Join what is live with where it is."""
    usage = Usage()
    for partition in range(_PARTITIONS):
        live = set(marks.live[partition])
        for chunk_id, copies in inventory.copies(partition):
            if chunk_id in live:
                live.remove(chunk_id)
                first = copies[0]
                usage.live_length += first.length
                pack = inventory.packs[first.pack].id
                usage.live_chunks[pack] = usage.live_chunks.get(pack, 0) + 1
                segment = inventory.segments[first.segment]
                if inventory.is_condemned(segment):
                    usage.needed_segments.add(segment.name)
        usage.missing += sorted(live)
        advance("Comparing", partition + 1, _PARTITIONS)
    return usage
