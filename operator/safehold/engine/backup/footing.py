"""What a run may build on: nothing condemned, and nothing after the collector's patience (docs/format.md, 9)."""

from safehold.engine.condemned import read_condemned, refuse_expired
from safehold.engine.index.lookup import Index
from safehold.engine.keys.rings import KeyRing
from safehold.engine.points.manifest import Manifest
from safehold.engine.store.base import ObjectStore


class Footing:
    """The condemned lists as a run saw them when it began, and whether what it reused still stands.

    Made before the run opens the index: a list that is carried out goes after the segments that named its packs.
    """

    def __init__(self, store: ObjectStore, keys: KeyRing, index: Index) -> None:
        self._store = store
        self._keys = keys
        self._index = index
        self._started = store.time()
        self._condemned = read_condemned(store, keys)
        index.reuse_only(avoid=self._condemned.packs)
        index.guard(self.refuse_expired)

    @property
    def heeded(self) -> list[str]:
        """The names of the lists that the run has heeded."""
        return self._condemned.names

    def bears(self, parent: Manifest) -> bool:
        """Whether the parent's chunks may be reused unseen: it needs nothing that is condemned."""
        return self._condemned.spare(parent.point, parent.heeded)

    def still_holds(self, parent: Manifest | None) -> bool:
        """Look again, before the commit. False: reuse nothing of the lists that have come, and scan once more."""
        now = read_condemned(self._store, self._keys, self._condemned)
        fresh, self._condemned = now.unless(self._condemned), now
        reused = {pack.id for pack in self._index.reused_packs}
        self._index.reuse_only(avoid=now.packs)
        return fresh.packs.isdisjoint(reused) and (parent is None or fresh.spare(parent.point, parent.heeded))

    def refuse_expired(self) -> None:
        """ExpiredRunError if the run is too old to write what others will build on."""
        refuse_expired(self._started, self._store.time())
