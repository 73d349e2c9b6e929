"""A laboratory: a repository of tiny chunks on a store that can be made to fail, and disks to put into it."""

import random
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.changed_blocks.port import ChangeSource
from safehold.engine.geometry import Geometry
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.keys.rings import SETTLED
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.repository import Domain, Repository
from safehold.engine.restore import fill
from safehold.engine.store.base import Body, ObjectEntry, ObjectStore, PartialUpload, UnfinishedUpload
from safehold.engine.store.memory import MemoryStore
from safehold.errors import StoreUnavailableError

CHUNK = 512
TINY = Geometry(
    chunk_bytes=CHUNK,
    frame_bytes=4 * CHUNK,
    map_fanout=4,
    pack_bytes=8 * CHUNK,
    part_bytes=3 * CHUNK,
    segment_entries=64,
    block_entries=4,
)


class FaultyStore:
    """Fails at the n-th call, before or after its effect, and then at every call: as a process that died there sees it.

    `bodies` keeps every body that was ever sent, with its name: what an eavesdropper of the store would have.
    """

    def __init__(self, store: ObjectStore, *, fail_at: int | None = None, after_effect: bool = False) -> None:
        self.store = store
        self.calls = 0
        self.bytes_read = 0
        self.bodies: list[tuple[str, bytes]] = []
        self.reads: list[str] = []
        """What was got or listed, in order."""
        self._fail_at = fail_at
        self._after_effect = after_effect
        self._lock = threading.Lock()

    def _guarded(self, call: Callable[[], object]) -> None:
        with self._lock:
            self.calls += 1
            number = self.calls
        dead = self._fail_at is not None and number >= self._fail_at
        if dead and not (self._after_effect and number == self._fail_at):
            raise StoreUnavailableError(f"call {number} fails")
        call()
        if dead:
            raise StoreUnavailableError(f"call {number} fails after its effect")

    def put(self, name: str, body: Body) -> None:
        """Count, then put."""
        self.bodies.append((name, bytes(body)))
        self._guarded(lambda: self.store.put(name, body))

    def start_upload(self, name: str) -> PartialUpload:
        """An upload whose calls are counted."""
        return _FaultyUpload(self, name)

    def get(self, name: str) -> bytes:
        """Count, then get."""
        self.reads.append(name)
        self._guarded(lambda: None)
        data = self.store.get(name)
        self.bytes_read += len(data)
        return data

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Count, then get."""
        self.reads.append(name)
        self._guarded(lambda: None)
        data = self.store.get_range(name, offset, length)
        self.bytes_read += len(data)
        return data

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """Count one request, then stream."""
        self.reads.append(name)
        self._guarded(lambda: None)
        for piece in self.store.stream_range(name, offset, sizes):
            self.bytes_read += len(piece)
            yield piece

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """Count, then list."""
        self.reads.append(prefix)
        self._guarded(lambda: None)
        return self.store.list(prefix, limit=limit)

    def delete(self, name: str) -> None:
        """Count, then delete."""
        self._guarded(lambda: self.store.delete(name))

    def unfinished_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Count, then list."""
        self.reads.append(prefix)
        self._guarded(lambda: None)
        return self.store.unfinished_uploads(prefix)

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Count, then abort."""
        self._guarded(lambda: self.store.abort_upload(upload))

    def time(self) -> datetime:
        """The clock behind."""
        return self.store.time()

    def bytes_sent(self) -> int:
        """What arrived."""
        return self.store.bytes_sent()

    def bytes_received(self) -> int:
        """What was read."""
        return self.bytes_read


class _FaultyUpload:
    def __init__(self, faulty: FaultyStore, name: str) -> None:
        self._faulty = faulty
        self._name = name
        self._upload = faulty.store.start_upload(name)

    def put_part(self, number: int, body: Body) -> None:
        self._faulty.bodies.append((f"{self._name}#{number}", bytes(body)))
        self._faulty._guarded(lambda: self._upload.put_part(number, body))

    def complete(self) -> None:
        self._faulty._guarded(self._upload.complete)

    def abort(self) -> None:
        self._upload.abort()


@dataclass
class Laboratory:
    """One repository and one VM with disks; the same key for all stores that look at it."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    key: RepositoryKey = field(default_factory=RepositoryKey.generate)
    geometry: Geometry = TINY
    runs: int = 0

    def domain(self, store: ObjectStore | None = None, name: str = "target", *, create: bool = True) -> Domain:
        """The key domain, opened anew: nothing is remembered from earlier runs."""
        return Repository.open(
            store or self.store, self.key, create=create, geometry=self.geometry, settle=self._settle
        ).domain(name, create=create)

    def owner(self, vm: str = "vm") -> Owner:
        """The owner of a VM's points."""
        return Owner(cluster="cluster", namespace_uid="namespace", vm_uid=f"uid-{vm}", namespace="shop", vm=vm)

    def disk(self, content: bytes, name: str = "root") -> Path:
        """A disk with this content, holes where whole chunks are zeros."""
        path = self.folder / name
        with path.open("wb") as file:
            for at in range(0, len(content), CHUNK):
                piece = content[at : at + CHUNK]
                if piece.strip(b"\0"):
                    file.seek(at)
                    file.write(piece)
            file.truncate(len(content))
        return path

    def back_up(
        self,
        *disks: Path,
        vm: str = "vm",
        run_id: str | None = None,
        store: ObjectStore | None = None,
        stop: threading.Event | None = None,
        checkpoint: str | None = None,
        changes: ChangeSource | None = None,
    ) -> Manifest:
        """One run over these disks; a new run id unless one is given."""
        self.runs += 1
        request = BackupRequest(
            run_id=run_id or f"run-{self.runs}",
            owner=self.owner(vm),
            volumes=[VolumeInput(name=disk.name, path=disk, checkpoint=checkpoint, changes=changes) for disk in disks],
            machine=[{"kind": "VirtualMachine", "metadata": {"name": vm}}],
        )
        return back_up(self.domain(store), request, stop=stop or threading.Event())

    def restored(self, manifest: Manifest, name: str = "root", store: ObjectStore | None = None) -> bytes:
        """The content of a disk of the point."""
        path = self.folder / "restored"
        path.unlink(missing_ok=True)
        domain = self.domain(store, create=False)
        fill(domain, manifest, name, path, stop=threading.Event(), progress=lambda _: None)
        return path.read_bytes()

    def objects(self, folder: str) -> list[str]:
        """The names of the store's objects below a folder."""
        return [entry.name for entry in self.store.list(folder)]

    def _settle(self) -> None:
        """Whoever waits moves the clock: later runs find key sets that are settled, and list them once."""
        self.store.now += SETTLED


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    """A new laboratory."""
    return Laboratory(tmp_path)


@pytest.fixture
def noise() -> Callable[[int], bytes]:
    """Bytes that do not compress, the same in every run."""
    generator = random.Random(7)  # noqa: S311 - test data, the same in every run
    return generator.randbytes


@pytest.fixture
def faulty() -> type[FaultyStore]:
    """The double that fails."""
    return FaultyStore


class StopAfter(threading.Event):
    """An event that is set when it was looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def is_set(self) -> bool:
        """Look, and count."""
        self._left -= 1
        return self._left < 0


@pytest.fixture
def stop_after() -> type[StopAfter]:
    """The event that stops a run."""
    return StopAfter


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    """A block device of 1 MiB that is full of old data."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"o" * (1 << 20))
    found = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no loop devices here: {found.stderr.strip()}")
    device = Path(found.stdout.strip())
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)
