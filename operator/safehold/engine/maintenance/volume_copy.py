"""One volume of a point, written into another repository: chunks, map, and nothing that is there already."""

import threading
from collections.abc import Iterator

from safehold.engine.maps.tree import MapBuilder, MapCursor, MapReader, slots_of
from safehold.engine.packing.chunks import ID_BYTES, ZERO_ID, chunk_id
from safehold.engine.packing.frames import Frame, FrameKind
from safehold.engine.packing.packs import RunPacks
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.engine.reading import ChunkReader, read_all
from safehold.engine.repository import Domain
from safehold.errors import InterruptedRunError

_WINDOW_BYTES = 16 * 1024 * 1024
"""Of the volume, copied at once and held in memory."""


def map_reader(domain: Domain, manifest: Manifest, volume: StoredVolume) -> MapReader:
    """The map of a point's volume."""
    keys = domain.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    reader = ChunkReader(domain.store, domain.keys, keys, FrameKind.NODES)
    return MapReader(volume.map(), volume.map_fanout, reader, domain.index)


class Destination:
    """Where copies are written: names contents anew, and packs those that the domain does not have."""

    def __init__(self, domain: Domain, packs: RunPacks) -> None:
        self._domain = domain
        self._packs = packs
        self._keys = domain.keys.current
        self.stored_bytes = 0

    def take_chunks(self, contents: list[bytes]) -> list[bytes]:
        """The ids of these chunks here; those that are new are kept, as many in a frame as it holds."""
        ids = [chunk_id(content, self._keys.id_key) for content in contents]
        claimed = self._domain.index.claim(ids)
        new = [(each, content) for each, content in dict(zip(ids, contents, strict=True)).items() if each in claimed]
        at_once = self._domain.geometry.frame_chunks
        for some in (new[at : at + at_once] for at in range(0, len(new), at_once)):
            joined = b"".join(content for _, content in some)
            held = [(each, len(content)) for each, content in some]
            self.stored_bytes += self._packs.add_chunks(Frame.of(FrameKind.CHUNKS, held, joined))
        self._domain.index.add(self._packs.uploaded())
        return ids

    def take_node(self, node: bytes) -> bytes:
        """The id of a map node here; it is kept if it is new."""
        node_id = chunk_id(node, self._keys.node_key)
        if node_id != ZERO_ID and self._domain.index.claim([node_id]):
            frame = Frame.of(FrameKind.NODES, [(node_id, len(node))], node)
            self.stored_bytes += self._packs.add_node(frame)
        return node_id

    def finish(self) -> None:
        """Wait until all packs are in the store, and tell them to the index."""
        self._packs.close()
        self._domain.index.add(self._packs.uploaded(wait=True))

    def abort(self) -> None:
        """Give up what has not arrived."""
        self._packs.abort()


def copy_volume(
    source: Domain,
    manifest: Manifest,
    volume: StoredVolume,
    earlier: tuple[MapReader, MapReader] | None,
    destination: Destination,
    stop: threading.Event,
) -> bytes:
    """Write a volume and its map; returns the new root. `earlier`: a map of the source, and what it became there.

    A chunk that stands at the same place in the earlier map is not read: its new id is in the other map.
    """
    keys = source.keys.key_set(bytes.fromhex(manifest.key_set), manifest.point)
    chunks = ChunkReader(source.store, source.keys, keys, FrameKind.CHUNKS)
    before, became = (MapCursor(each) for each in earlier or (None, None))
    slots = slots_of(volume.size_bytes, volume.chunk_bytes)
    builder = MapBuilder(slots, volume.map_fanout, destination.take_node)
    position = 0
    for first, ids in _windows(map_reader(source, manifest, volume), volume):
        if stop.is_set():
            raise InterruptedRunError("The copy was told to stop")
        builder.append_zeros(first - position)
        count = len(ids)
        known = dict(zip(_split(before.ids(first, count)), _split(became.ids(first, count)), strict=True))
        known[ZERO_ID] = ZERO_ID
        wanted = list(dict.fromkeys(each for each in ids if each not in known))
        contents = read_all(chunks, source.index, wanted)
        known.update(zip(wanted, destination.take_chunks([contents[each] for each in wanted]), strict=True))
        builder.append(b"".join(known[each] for each in ids))
        position = first + count
    builder.append_zeros(slots - position)
    return builder.finish().root


def _windows(reader: MapReader, volume: StoredVolume) -> Iterator[tuple[int, list[bytes]]]:
    """Neighbouring leaves of the map together: the first slot, and the ids from there on."""
    most = max(_WINDOW_BYTES // volume.chunk_bytes, 1)
    first, ids = 0, list[bytes]()
    for leaf in reader.leaves():
        if ids and (leaf.first != first + len(ids) or len(ids) >= most):
            yield first, ids
            ids = []
        if not ids:
            first = leaf.first
        ids += _split(leaf.ids)
    if ids:
        yield first, ids


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
