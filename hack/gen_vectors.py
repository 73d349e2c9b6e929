"""Write the test vectors of the repository's format to tests/engine/vectors: a small repository, and values within it.

Random bytes and clocks are replaced by fixed ones, so the same libzstd makes the same vectors bit for bit. A reader in
another language is right when it derives the values of `values.json` and gets the disks whose checksums stand there.
"""

import hashlib
import json
import shutil
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zstandard

from safehold.engine import names
from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.condemned import CondemnedList, condemn
from safehold.engine.geometry import Geometry
from safehold.engine.index.folding import fold
from safehold.engine.keys.keyfile import RepositoryKey, derive
from safehold.engine.keys.rings import KeySet, wrap
from safehold.engine.keys.sealing import ObjectType, seal_object
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import chunk_id
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.repository import Repository
from safehold.engine.store.memory import MemoryStore

VECTORS = Path(__file__).parent.parent / "tests" / "engine" / "vectors" / "v1"
CHUNK = 512
GEOMETRY = Geometry(
    chunk_bytes=CHUNK,
    frame_bytes=4 * CHUNK,
    map_fanout=4,
    pack_bytes=16 * CHUNK,
    part_bytes=8 * CHUNK,
    block_entries=8,
)
KEYS = (RepositoryKey(bytes(range(32))), RepositoryKey(bytes(range(32, 64))))
TEXTS = {names.README: b"# The README of the test vectors\n"}


class Stream:
    """Bytes that look random and are the same in every run: SHA-256 over a counter."""

    def __init__(self) -> None:
        self._counter = 0

    def __call__(self, count: int | None = None) -> bytes:
        """The next bytes, as `secrets.token_bytes` gives them."""
        joined = b""
        while len(joined) < (count or 32):
            self._counter += 1
            joined += hashlib.sha256(self._counter.to_bytes(8)).digest()
        return joined[: count or 32]


@dataclass
class History:
    """The repository while it grows, and what its points must give back."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    points: list[dict[str, Any]] = field(default_factory=list)

    def repository(self) -> Repository:
        """Opened anew."""
        return Repository.open(self.store, KEYS[0], create=True, geometry=GEOMETRY, settle=lambda: None)

    def back_up(self, domain: str, vm: str, **disks: bytes) -> Manifest:
        """One run over these disks."""
        paths = {name: self.folder / name for name in disks}
        for name, content in disks.items():
            paths[name].write_bytes(content)
        request = BackupRequest(
            run_id=f"run-{len(self.points) + 1}",
            owner=Owner(cluster="cluster", namespace_uid="namespace-uid", vm_uid=f"{vm}-uid", namespace="shop", vm=vm),
            volumes=[VolumeInput(name=name, path=path) for name, path in paths.items()],
            machine=[{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": vm}}],
        )
        manifest = back_up(self.repository().domain(domain, create=True), request, stop=threading.Event())
        volumes = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in disks.items()
        }
        machine = json.loads(json.dumps(request.machine))
        self.points.append({"id": manifest.point, "domain": domain, "volumes": volumes, "machine": machine})
        return manifest

    def rotate(self, domain: str) -> None:
        """Add a data key, and wrap all keys of the domain for the second recipient."""
        for ring in (self.repository().keys, self.repository().domain(domain, create=True).keys):
            wrap(self.store, KEYS[1], ring.scope, ring.elected)
            if ring.scope != names.REPOSITORY_SCOPE:
                rotated = ring.current.next_generation()
                for key in KEYS:
                    wrap(self.store, key, ring.scope, rotated)


def history(folder: Path, noise: Stream) -> History:
    """Two VMs and two domains; two recipients, two data keys; a fold, and what it replaced condemned and deleted."""
    past = History(folder)
    text = b"".join(b"line %d of a file that compresses well\n" % number for number in range(400))
    root = noise(9_000) + bytes(20_000) + text + noise(777)
    past.back_up("target", "orders", root=root, data=bytes(30_000))
    root = root[:2_000] + noise(1_500) + root[3_500:]
    past.back_up("target", "orders", root=root, data=bytes(15_000) + noise(15_000))
    past.rotate("target")
    past.back_up("target", "orders", root=root[:20_000], data=noise(600))
    folded = fold(past.repository().domain("target", create=False), everything=True)
    assert folded is not None
    target = past.repository().domain("target", create=False)
    condemn(past.store, target.keys, CondemnedList(packs=[], segments=sorted(folded.replaced), marked=[]))
    for name in folded.replaced:
        past.store.delete(name)
    past.back_up("target", "web", root=root[:8_192] + noise(4_096))
    past.back_up("namespace/3f1c", "orders", root=root)
    return past


def values() -> dict[str, Any]:
    """Intermediate values, each with all that it takes to compute it. Bytes are in hexadecimal."""
    key_set = KeySet(generation=0, id=bytes(range(16)), data_key=bytes(range(64, 96)), id_key=bytes(range(96, 128)))
    salt, name = bytes(range(128, 160)), "points/target/0123456789abcdef/999998-0123456789abcdef"
    sealed = seal_object(key_set.data_key, key_set.id, ObjectType.POINT, name, [b"first", b"second"], salt=salt)
    owner = ("cluster", "namespace-uid", "orders-uid")
    place = PointName.of_id("0123456789abcdef-000001-0123456789abcdef")
    object_info = b"safehold/1/object/" + ObjectType.POINT.to_bytes(2)
    return {
        "keys": [{"secret": key.secret.hex(), "file": key.text(), "recipient": key.recipient} for key in KEYS],
        "node_key": {"id_key": key_set.id_key.hex(), "key": key_set.node_key.hex()},
        "chunk_id": {
            "id_key": key_set.id_key.hex(),
            "content": b"a chunk".hex(),
            "id": chunk_id(b"a chunk", key_set.id_key).hex(),
        },
        "object_key": {
            "data_key": key_set.data_key.hex(),
            "type": int(ObjectType.POINT),
            "salt": salt.hex(),
            "key": derive(key_set.data_key, salt=salt, info=object_info).hex(),
        },
        "sealed_object": {
            "name": name,
            "key_set": key_set.id.hex(),
            "frames": [b"first".hex(), b"second".hex()],
            "object": sealed.hex(),
        },
        "owner": {"identity": owner, "tag": names.owner_tag(*owner)},
        "run": {"id": "run-1", "tag": names.run_tag("run-1")},
        "point": {"id": place.id, "name": place.manifest("target")},
        "domain": {"called": "namespace/3f1c", "folder": names.scope_of_domain("namespace/3f1c")},
    }


def write(folder: Path) -> None:
    """Make the vectors in `folder`, which is emptied."""
    with ExitStack() as stack:
        for replaced, by in (
            ("secrets.token_bytes", Stream()),
            ("safehold.engine.plaintext.objects.plain_texts", lambda: TEXTS),
            ("safehold.engine.backup.run.monotonic", lambda: 0.0),
            ("safehold.engine.points.manifest.__version__", "vectors"),
        ):
            stack.enter_context(patch(replaced, by))
        past = history(Path(stack.enter_context(tempfile.TemporaryDirectory())), Stream())
        repository_id = past.repository().id
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in past.store.objects.items():
        path = folder / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    libzstd = ".".join(map(str, zstandard.ZSTD_VERSION))
    told = {"libzstd": libzstd, "repository": repository_id, "points": past.points, "values": values()}
    (folder / "values.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS)
