"""The driver: volumes and snapshots as sparse files under one folder, its state in state.json.

<root>/volumes/<handle>     a raw file (Block) or a folder (Filesystem)
<root>/snapshots/<handle>   an independent copy, as the hostpath driver makes them
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from sandbox.csi.sparse import copy_file, copy_tree
from sandbox.csi.writers import release, stopped_writers, writers_of

VolumeMode = Literal["Block", "Filesystem"]


class DriverError(Exception):
    """A refused call; reads as the gRPC error of a real driver, which the controllers quote in events and statuses."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {description}")


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume. `name` is the caller's idempotency key, `handle` the driver's id."""

    handle: str
    name: str
    size_bytes: int
    mode: VolumeMode


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot: the size and mode of its source at the time of the cut (nanoseconds since the epoch)."""

    handle: str
    name: str
    volume_handle: str
    size_bytes: int
    mode: VolumeMode
    created_ns: int


@dataclass(frozen=True, slots=True)
class Group:
    """Snapshots of several volumes that show one instant, by their handles."""

    handle: str
    name: str
    members: tuple[str, ...]
    created_ns: int


@dataclass(slots=True)
class _State:
    volumes: dict[str, Volume] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)


def volume_path(root: Path, handle: str) -> Path:
    """Where the volume of PersistentVolume.spec.csi.volumeHandle lies: a raw file (Block) or a folder (Filesystem)."""
    return root / "volumes" / handle


class Driver:
    """Creates and deletes; every call may be repeated. Calls block: run them in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        (root / "volumes").mkdir(parents=True, exist_ok=True)
        (root / "snapshots").mkdir(exist_ok=True)
        # An earlier driver that was killed in the middle of a cut left them stopped.
        release(writers_of([root / "volumes"]))
        self._state = self._load()

    def create_volume(
        self,
        name: str,
        size_bytes: int,
        mode: VolumeMode,
        *,
        snapshot_handle: str | None = None,
        volume_handle: str | None = None,
    ) -> Volume:
        """An empty volume, or one filled from a snapshot or from another volume."""
        for volume in self._state.volumes.values():
            if volume.name == name:
                return volume
        source = self._source(snapshot_handle, volume_handle)
        volume = Volume(str(uuid.uuid4()), name, size_bytes, mode)
        partial = self._root / "volumes" / f".{volume.handle}"
        try:
            self._fill(partial, volume, source)
            partial.rename(volume_path(self._root, volume.handle))
        finally:
            _remove(partial)
        with self._lock:
            self._state.volumes[volume.handle] = volume
            self._save()
        return volume

    def delete_volume(self, handle: str) -> None:
        """Deletes the data; a volume that is unknown was deleted before."""
        with self._lock:
            self._state.volumes.pop(handle, None)
            self._save()
        _remove(volume_path(self._root, handle))

    def expand_volume(self, handle: str, size_bytes: int) -> int:
        """Grows a volume; returns its size in bytes, which never gets smaller."""
        with self._lock:
            volume = self._volume(handle)
            size_bytes = max(size_bytes, volume.size_bytes)
            if volume.mode == "Block":
                os.truncate(volume_path(self._root, handle), size_bytes)
            self._state.volumes[handle] = replace(volume, size_bytes=size_bytes)
            self._save()
        return size_bytes

    def create_snapshot(self, name: str, volume_handle: str) -> Snapshot:
        """Cuts a snapshot now."""
        for snapshot in self._state.snapshots.values():
            if snapshot.name == name:
                return snapshot
        snapshot = self._cut(name, self._volume(volume_handle), time.time_ns())
        with self._lock:
            self._state.snapshots[snapshot.handle] = snapshot
            self._save()
        return snapshot

    def create_group(self, name: str, volume_handles: Sequence[str]) -> tuple[Group, list[Snapshot]]:
        """Cuts snapshots of all these volumes at one instant: whoever writes to them stands still meanwhile."""
        for group in self._state.groups.values():
            if group.name == name:
                return group, [self._state.snapshots[handle] for handle in group.members]
        volumes = [self._volume(handle) for handle in volume_handles]
        members: list[Snapshot] = []
        try:
            with stopped_writers([volume_path(self._root, handle) for handle in volume_handles]):
                created_ns = time.time_ns()
                members += [self._cut(f"{name}-{volume.handle}", volume, created_ns) for volume in volumes]
        except TimeoutError as error:
            for member in members:
                _remove(self.snapshot_path(member.handle))
            raise DriverError("DeadlineExceeded", str(error)) from error
        group = Group(str(uuid.uuid4()), name, tuple(member.handle for member in members), created_ns)
        with self._lock:
            self._state.snapshots |= {member.handle: member for member in members}
            self._state.groups[group.handle] = group
            self._save()
        return group, members

    def delete_group(self, handle: str) -> None:
        """Deletes a group with all its members; one that is unknown was deleted before."""
        with self._lock:
            group = self._state.groups.pop(handle, None)
            for member in group.members if group else ():
                self._state.snapshots.pop(member, None)
            self._save()
        for member in group.members if group else ():
            _remove(self.snapshot_path(member))

    def find_snapshot(self, handle: str) -> Snapshot | None:
        """The snapshot, or None if the driver does not know it."""
        return self._state.snapshots.get(handle)

    def snapshot_path(self, handle: str) -> Path:
        """Where a snapshot's data lies: a raw file (Block) or a folder (Filesystem)."""
        return self._root / "snapshots" / handle

    def delete_snapshot(self, handle: str) -> None:
        """Deletes the data; a snapshot that is unknown was deleted before. A member goes with its group only."""
        if any(handle in group.members for group in self._state.groups.values()):
            raise DriverError("InvalidArgument", f"snapshot id {handle} belongs to a group, delete the group")
        with self._lock:
            self._state.snapshots.pop(handle, None)
            self._save()
        _remove(self.snapshot_path(handle))

    def _cut(self, name: str, volume: Volume, created_ns: int) -> Snapshot:
        handle = str(uuid.uuid4())
        partial = self._root / "snapshots" / f".{handle}"
        try:
            _copy(volume_path(self._root, volume.handle), partial)
            partial.rename(self.snapshot_path(handle))
        finally:
            _remove(partial)
        return Snapshot(handle, name, volume.handle, volume.size_bytes, volume.mode, created_ns)

    def _volume(self, handle: str) -> Volume:
        volume = self._state.volumes.get(handle)
        if volume is None:
            raise DriverError("NotFound", f"volume id {handle} does not exist in the volumes list")
        return volume

    def _source(self, snapshot_handle: str | None, volume_handle: str | None) -> tuple[Path, VolumeMode] | None:
        if snapshot_handle is not None:
            snapshot = self.find_snapshot(snapshot_handle)
            if snapshot is None:
                raise DriverError("NotFound", f"snapshot id {snapshot_handle} does not exist in the snapshots list")
            return self.snapshot_path(snapshot_handle), snapshot.mode
        if volume_handle is not None:
            return volume_path(self._root, volume_handle), self._volume(volume_handle).mode
        return None

    def _fill(self, target: Path, volume: Volume, source: tuple[Path, VolumeMode] | None) -> None:
        if source is None:
            if volume.mode == "Filesystem":
                target.mkdir()
            else:
                target.touch()
        elif source[1] == volume.mode:
            _copy(source[0], target)
        elif volume.mode == "Block":
            # What hostpath does when nobody checked the modes: an archive of the folder in the device, not a disk.
            with tarfile.open(target, "w:gz") as archive:
                archive.add(source[0], arcname=".")
        else:
            raise DriverError("Internal", "failed pre-populate data from a block volume: not in gzip format")
        if volume.mode == "Block":
            os.truncate(target, max(volume.size_bytes, target.stat().st_size))

    def _load(self) -> _State:
        path = self._root / "state.json"
        if not path.exists():
            return _State()
        stored = json.loads(path.read_text())
        return _State(
            volumes={entry["handle"]: Volume(**entry) for entry in stored["volumes"]},
            snapshots={entry["handle"]: Snapshot(**entry) for entry in stored["snapshots"]},
            groups={
                entry["handle"]: Group(**{**entry, "members": tuple(entry["members"])})
                for entry in stored.get("groups", [])
            },
        )

    def _save(self) -> None:
        """Replaces state.json in one step; the caller holds the lock."""
        stored = {
            "volumes": [asdict(volume) for volume in self._state.volumes.values()],
            "snapshots": [asdict(snapshot) for snapshot in self._state.snapshots.values()],
            "groups": [asdict(group) for group in self._state.groups.values()],
        }
        partial = self._root / "state.json.partial"
        partial.write_text(json.dumps(stored, indent=1))
        partial.replace(self._root / "state.json")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        copy_tree(source, target)
    else:
        copy_file(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
