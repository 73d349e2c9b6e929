"""The sizes that shape a repository. Format 1 fixes them; tests use smaller ones to reach every edge with few bytes."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes in bytes, or counts. docs/format.md argues for each, docs/chunk-size.md has the measurements."""

    chunk_bytes: int = 128 * KIB
    """What is compared, named and deduplicated."""
    frame_bytes: int = MIB
    """Neighbouring new chunks up to this size are compressed and sealed together; also what is read at once."""
    map_fanout: int = 32
    """Ids per map node."""
    pack_bytes: int = 64 * MIB
    """A pack is closed when it reaches this."""
    part_bytes: int = 8 * MIB
    """What is uploaded at once and held of a pack. S3 wants at least 5 MiB for every part but the last."""
    segment_entries: int = 65_536
    segment_pack_bytes: int = 4 * GIB
    """A segment is closed when it covers packs of this many bytes, so that a killed run loses no more."""
    block_entries: int = 256
    """Entries of a segment that are read at once: 13 KiB, little to read for one chunk."""

    @property
    def frame_chunks(self) -> int:
        """Whole chunks that fit into a frame."""
        return self.frame_bytes // self.chunk_bytes


FORMAT_1 = Geometry()
