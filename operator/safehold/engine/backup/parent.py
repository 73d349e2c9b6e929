"""The point that a run builds on: the owner's newest, as far as its maps can be compared with and taken over."""

from safehold.engine.backup.footing import Footing
from safehold.engine.changed_blocks.trust import doubt_in_base
from safehold.engine.keys.rings import KeySet
from safehold.engine.maps.tree import MapReader
from safehold.engine.packing.frames import FrameKind
from safehold.engine.points.manifest import BaseIdentity, Manifest
from safehold.engine.reading import ChunkReader
from safehold.engine.repository import Domain


class Parent:
    """What a run has of its parent point; nothing, where there is none."""

    def __init__(self, domain: Domain, manifest: Manifest | None, footing: Footing, key_set: KeySet) -> None:
        self._domain = domain
        self._footing = footing
        self._key_set = key_set
        self.manifest = manifest

    @property
    def point(self) -> str | None:
        """The point's id."""
        return self.manifest.point if self.manifest else None

    def map_of(self, name: str) -> MapReader | None:
        """The map of the volume, where its ids can be compared with ours."""
        if self.manifest is None or not self._domain.keys.names_alike(self.manifest.key_set):
            return None
        if not self._footing.bears(self.manifest):
            return None
        volume = self.manifest.volume(name)
        if volume is None or not volume.fits(self._domain.geometry):
            return None
        reader = ChunkReader(self._domain.store, self._domain.keys, self._key_set, FrameKind.NODES)
        return MapReader(volume.map(), volume.map_fanout, reader, self._domain.index)

    def doubt(self, name: str, base: str | None, source: BaseIdentity | None, size_bytes: int) -> str | None:
        """Why changes since `base` say nothing about what the point has of the volume; None if they do."""
        volume = self.manifest.volume(name) if self.manifest else None
        if volume is None or self.map_of(name) is None:
            return self.lack
        return doubt_in_base(volume, base=base, source=source, size_bytes=size_bytes, geometry=self._domain.geometry)

    @property
    def lack(self) -> str:
        """Why there is no map to compare with."""
        if self.manifest and not self._footing.bears(self.manifest):
            return "the earlier point needs what is being collected"
        return "no earlier point to compare with"
