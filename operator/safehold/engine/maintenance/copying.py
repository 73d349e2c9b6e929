"""Copying points to another repository: every chunk is opened, named and sealed anew under the other's keys."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from safehold.engine import names
from safehold.engine.backup.footing import Footing
from safehold.engine.backup.lanes import UploadLanes
from safehold.engine.index.lookup import Index
from safehold.engine.maintenance.manifests import read_manifests
from safehold.engine.maintenance.progress import Advance, silent
from safehold.engine.maintenance.volume_copy import Destination, copy_volume, map_reader
from safehold.engine.names import PointName
from safehold.engine.packing.packs import RunPacks
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.engine.repository import Domain
from safehold.errors import ExpiredRunError, InterruptedRunError, SafeholdError


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One point and its copy. `new` is False where an earlier attempt has made the copy."""

    source: str
    copy: str
    vm: str
    new: bool
    bytes_stored: int


def copy_points(
    source: Domain,
    destination: Domain,
    chosen: Iterable[PointName] | None = None,
    *,
    stop: threading.Event,
    advance: Advance = silent,
) -> Iterator[Copied]:
    """Copy the chosen points, or all, each owner's oldest first, so that each builds on the copy before it.

    What the destination has is not sent again: points are known by their runs, chunks by their ids there. A copy that
    was cut off goes on where it ended.
    """
    wanted = None if chosen is None else {name.id for name in chosen}
    done = 0
    for _, points in groupby(read_manifests(source.points), key=lambda opened: opened[0].owner):
        previous: tuple[Manifest, Manifest] | None = None
        for name, found in reversed(list(points)):
            if wanted is not None and name.id not in wanted:
                continue
            if not isinstance(found, Manifest):
                raise found
            copied, stored = _copied(source, destination, found, previous, stop)
            previous = found, copied
            done += 1
            advance("Copying points", done, len(wanted) if wanted is not None else None)
            yield Copied(
                source=found.point,
                copy=copied.point,
                vm=found.owner.vm,
                new=stored is not None,
                bytes_stored=stored or 0,
            )


def _copied(
    source: Domain,
    destination: Domain,
    manifest: Manifest,
    previous: tuple[Manifest, Manifest] | None,
    stop: threading.Event,
) -> tuple[Manifest, int | None]:
    """The point's copy, and the bytes that it took, or None if it was there already."""
    existing = destination.points.of_run(manifest.owner, manifest.run_id)
    if existing:
        return existing, None
    index = Index(destination.store, destination.keys, destination.geometry)
    with UploadLanes() as lanes:
        return _PointCopy(source, replace(destination, index=index), manifest, previous, lanes, stop).run()


class _PointCopy:
    """One point on its way: a run like a backup, whose disks are the volumes of a point."""

    def __init__(
        self,
        source: Domain,
        destination: Domain,
        manifest: Manifest,
        previous: tuple[Manifest, Manifest] | None,
        lanes: UploadLanes,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._destination = destination
        self._manifest = manifest
        self._previous = previous
        self._stop = stop
        self._footing = Footing(destination.store, destination.keys, destination.index)
        key_set = destination.keys.current
        packs = RunPacks(destination.store, destination.keys.scope, key_set, lanes, destination.geometry)
        self._written = Destination(destination, packs)
        self._parent = previous[1] if previous else None
        source.index.follow(manifest.segments)
        if self._parent:
            destination.index.follow(self._parent.segments)

    def run(self) -> tuple[Manifest, int]:
        """Copy the volumes, then commit."""
        try:
            volumes = self._volumes()
        except InterruptedRunError:
            self._written.finish()
            self._destination.index.flush()
            raise
        except SafeholdError:
            self._written.abort()
            raise
        return self._commit(volumes), self._written.stored_bytes

    def _volumes(self) -> list[StoredVolume]:
        while True:
            volumes = [self._volume(volume) for volume in self._manifest.volumes]
            self._written.finish()
            if self._footing.still_holds(self._parent):
                return volumes

    def _volume(self, volume: StoredVolume) -> StoredVolume:
        earlier = None
        if self._previous and self._footing.bears(self._previous[1]):
            ours, theirs = (manifest.volume(volume.name) for manifest in self._previous)
            if ours and theirs and ours.chunk_bytes == theirs.chunk_bytes == volume.chunk_bytes:
                earlier = (
                    map_reader(self._source, self._previous[0], ours),
                    map_reader(self._destination, self._previous[1], theirs),
                )
        root = copy_volume(self._source, self._manifest, volume, earlier, self._written, self._stop)
        return volume.model_copy(update={"root": root.hex()})

    def _commit(self, volumes: list[StoredVolume]) -> Manifest:
        segments = self._destination.index.segments()
        owner = self._manifest.owner
        place = PointName.new(names.owner_tag(*owner.identity), self._manifest.sequence, self._manifest.run_id)
        copy = self._manifest.model_copy(
            update={
                "point": place.id,
                "parent": self._parent.point if self._parent else None,
                "domain": self._destination.name,
                "key_set": self._destination.keys.current.id.hex(),
                "volumes": volumes,
                "segments": segments,
                "heeded": self._footing.heeded,
            }
        )
        self._footing.refuse_expired()
        self._destination.points.commit(copy, self._source.points.read_machine(self._manifest))
        try:
            self._footing.refuse_expired()
        except ExpiredRunError:
            self._destination.points.forget(copy)
            raise
        return copy
